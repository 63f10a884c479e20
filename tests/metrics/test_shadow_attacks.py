"""Attacks with shadow models, against closed forms on Gaussians and slow references."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from predictions_by_hand import from_confidences, from_tokens
from scipy.stats import norm

from mubench.metrics import likelihood, lira, rmia
from mubench.metrics.base import Outputs, Unavailable, View
from mubench.metrics.likelihood import phi
from mubench.metrics.membership import aucs


def view_of(model, originals, retrained, **splits) -> View:
    """A model's confidences on D_f, its shadows', and of other splits (model's, shadows') of both."""

    def shadows(matrix, place):
        return [
            {"forget": from_confidences(row), **{n: from_confidences(s[place][k]) for n, s in splits.items()}}
            for k, row in enumerate(matrix)
        ]

    own = {"forget": from_confidences(model), **{n: from_confidences(s[0]) for n, s in splits.items()}}
    others = {"original": shadows(originals, 1), "retrained": shadows(retrained, 1)}
    return View("unlearned", {"unlearned": own}, others=others)


def gaussian_view(shift, *, up=1.5, models=40, examples=2500, seed=0) -> View:
    """phi = mu_i + e, e ~ N(0, 1): originals by `up` higher, the model by `shift` (N,) or a number."""
    rng = np.random.default_rng(seed)
    level = rng.normal(0, 3, examples)
    draw = lambda *size: level + rng.normal(size=(*size, examples))  # noqa: E731
    return view_of(draw() + shift, draw(models) + up, draw(models))


# phi ---------------------------------------------------------------------------------------------


def test_phi_by_hand():
    """p = .8 of the label: ln 4; three classes of 1/2, 1/4, 1/4 and label 1: ln(1/3)."""
    two = Outputs(np.zeros(1), np.array([0]), np.log([[0.8, 0.2]]))
    three = Outputs(np.zeros(1), np.array([1]), np.log([[0.5, 0.25, 0.25]]))
    assert phi(two) == pytest.approx([np.log(4)])
    assert phi(three) == pytest.approx([np.log(1 / 3)])


def test_phi_is_finite_and_ordered_where_probabilities_round_to_one():
    """Logit gaps of 100 and 800 are p = 1 to double precision; phi keeps the gap."""
    logits = np.array([[100.0, 0.0], [800.0, 0.0], [-800.0, 0.0]])
    assert phi(Outputs(np.zeros(3), np.zeros(3, int), logits)) == pytest.approx([100, 800, -800])


def test_phi_of_tokens_is_of_their_geometric_mean():
    """Two tokens of .9 and .4, and one of .5 beside padding: p = .6 and .5."""
    outputs = from_tokens([[0.9, 0.4], [0.5, 0.0]], labels=[2, 1])
    assert phi(outputs) == pytest.approx([np.log(0.6 / 0.4), 0.0], abs=1e-6)
    sure = from_tokens([[1.0, 1.0]], labels=[2])
    assert phi(sure) == pytest.approx([24 * np.log(2)])  # as much as single precision tells from 1


def test_phi_of_pictures_is_unavailable_and_of_diverged_logits_too():
    with pytest.raises(Unavailable, match="no probabilities of labels"):
        phi(Outputs(np.ones(3), np.zeros(3, int)))
    with pytest.raises(Unavailable, match="1 of 2 rows of logits are not finite"):
        phi(Outputs(np.ones(2), np.zeros(2, int), np.array([[0.0, 1.0], [np.nan, 1.0]])))


def test_few_models_share_a_variance_and_many_have_their_own():
    """Within examples: what examples differ by does not count. 64 models and more: each its own."""
    rng = np.random.default_rng(0)
    spread = np.array([1.0, 3.0] * 500)
    few = rng.normal(100 * np.arange(1000), spread, (20, 1000))
    assert likelihood.variance(few) == pytest.approx(np.full(1000, 5.0), rel=0.05)
    many = rng.normal(0, spread, (64, 1000))
    np.testing.assert_array_equal(likelihood.variance(many), many.var(axis=0, ddof=1))
    assert likelihood.variance(np.ones((5, 3))) == pytest.approx([likelihood.LEAST_VARIANCE] * 3)


# LiRA --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shift", [0.0, 0.7, 1.5, -1.5])
def test_lira_of_gaussians(shift):
    """phi less (mean_in + mean_out) / 2 decides; it errs by a variance of 1 / 2N with N = 40.

    So members are N(shift, 1 + 1/2N) against N(0, 1 + 1/2N): AUC = Phi(shift / sqrt(2 + 1/N)).
    """
    found = lira.lira(gaussian_view(shift))
    closed = norm.cdf(shift / np.sqrt(2 + 1 / 40))
    assert found["lira_auc"] == pytest.approx(closed, abs=0.012)
    assert found["lira_leak"] == pytest.approx(abs(2 * found["lira_auc"] - 1))
    assert found["lira_auc_low"] < found["lira_auc"] < found["lira_auc_high"]


def test_two_sided_lira_of_gaussians():
    """|A| > |B| for A ~ N(d, 1), B ~ N(0, 1) is (A - B)(A + B) > 0, two independent N(d, 2).

    AUC = Phi(d / sqrt 2)^2 + Phi(-d / sqrt 2)^2; with means of 39 models each variance is 1 + 1/39.
    """
    for shift in (0.0, 1.0, -2.0):
        d = shift / np.sqrt(2 * (1 + 1 / 39))
        closed = norm.cdf(d) ** 2 + norm.cdf(-d) ** 2
        assert lira.lira(gaussian_view(shift))["lira_two_sided_auc"] == pytest.approx(closed, abs=0.012)


def test_only_the_two_sided_attack_sees_leaks_that_make_up_for_each_other():
    """Half of D_f is known too well, half too little."""
    found = lira.lira(gaussian_view(np.tile([2.0, -2.0], 1250)))
    assert found["lira_leak"] < 0.05
    assert found["lira_two_sided_auc"] > 0.8


def test_lira_finds_what_a_population_attack_cannot():
    """Examples differ by 30 standard deviations, the model by one: only by its own kind is each told."""
    rng = np.random.default_rng(1)
    level = rng.normal(0, 30, 2000)
    draw = lambda *size: level + rng.normal(size=(*size, 2000))  # noqa: E731
    found = lira.lira(view_of(draw() + 1.5, draw(20) + 1.5, draw(20)))
    assert found["lira_auc"] == pytest.approx(norm.cdf(1.5 / np.sqrt(2)), abs=0.03)


def test_lira_against_a_slow_reference():
    """Every score by scipy's densities, every pair compared; four shadow models, as few as it takes."""
    rng = np.random.default_rng(3)
    model, inside, outside = rng.normal(size=7), rng.normal(1, 1, (4, 7)), rng.normal(size=(4, 7))
    sd_in = np.sqrt(np.mean([np.var(inside[:, i], ddof=1) for i in range(7)]))
    slow = []
    for k in range(4):
        rest = np.array([outside[j] for j in range(4) if j != k])
        sd_out = np.sqrt(np.mean([np.var(rest[:, i], ddof=1) for i in range(7)]))
        mine, theirs = (
            norm.logpdf(x, inside.mean(axis=0), sd_in) - norm.logpdf(x, rest.mean(axis=0), sd_out)
            for x in (model, outside[k])
        )
        slow.append(np.mean([[float(a > b) for b in theirs] for a in mine]))
    found = lira.lira(view_of(model, inside, outside))
    assert found["lira_auc"] == pytest.approx(np.mean(slow), abs=1e-12)


def test_a_retrained_model_has_half_in_its_interval_as_often_as_it_says():
    """Seeds shift all of a model's confidences: examples alone would tell far too narrow an interval.

    Of 200 models 95 %: binomial(200, .95) lies in 178..198 but 1 in 2,000 times; levels of Gaussian
    models make AUCs that are nearly Gaussian, hence room for two more below.
    """
    rng, inside = np.random.default_rng(0), 0
    for _ in range(200):
        models = rng.normal(0, 1, (7, 1)) + rng.normal(size=(7, 40))
        attack = lira.ratio(rng.normal(2, 1, (6, 1)) + rng.normal(size=(6, 40)))
        value = aucs(*lira.scored(models[0], models[1:], attack)).mean()
        inside += abs(value - 0.5) < lira.margin(lira.noise(models[1:], attack), 6)
    assert 176 <= inside <= 198


def test_tpr_of_gaussians():
    """Shift d: Phi(d + Phi^-1(rate))."""
    view = gaussian_view(1.5, models=20)
    for metric, name, rate in ((lira.lira_tpr_1, "1%", 0.01), (lira.lira_tpr_01, "0.1%", 0.001)):
        closed = norm.cdf(1.5 + norm.ppf(rate))
        assert metric(view)[f"lira_tpr@{name}"] == pytest.approx(closed, abs=0.035)


def test_a_rate_of_less_than_one_non_member_is_unavailable():
    """4 shadow models x 20 examples are 80 non-members; 5 are 100."""
    with pytest.raises(Unavailable, match="of 80 non-members is less than one"):
        lira.lira_tpr_1(gaussian_view(1.0, models=4, examples=20))
    assert lira.lira_tpr_1(gaussian_view(1.0, models=5, examples=20))
    with pytest.raises(Unavailable, match="less than one"):
        lira.lira_tpr_01(gaussian_view(1.0, models=5, examples=20))


@pytest.mark.parametrize("models", [4, 30])
def test_offline_lira_of_gaussians(models):
    """phi - mean of N models ~ N(d, 1 + 1/N) on D_f, N(0, 1 + 1/N) on test, whatever N."""
    rng = np.random.default_rng(5)
    levels = rng.normal(0, 3, 3000), rng.normal(1, 3, 4000)
    draw = lambda level, *size: level + rng.normal(size=(*size, len(level)))  # noqa: E731
    view = view_of(
        draw(levels[0]) + 1.0, draw(levels[0], models), draw(levels[0], models),
        test=(draw(levels[1]), draw(levels[1], models)),
    )  # fmt: skip
    found = lira.lira_offline(view)
    closed = norm.cdf(1 / np.sqrt(2 * (1 + 1 / models)))
    assert found["lira_offline_auc_low"] < closed < found["lira_offline_auc_high"]
    assert found["lira_offline_auc"] == pytest.approx(closed, abs=0.015)
    assert found["lira_offline_leak"] == pytest.approx(2 * found["lira_offline_auc"] - 1)


def test_too_few_or_other_shadow_models_are_unavailable():
    view = gaussian_view(0.0, models=3, examples=10)
    with pytest.raises(Unavailable, match=r"needs 4 shadow models of a kind, not 3: shadows=8"):
        lira.lira(view)
    with pytest.raises(Unavailable, match="no shadow models"):
        lira.lira(replace(view, others={}))
    other = [{"forget": from_confidences(np.zeros(9))}] * 4
    with pytest.raises(Unavailable, match="not predicted on the same examples"):
        lira.lira(replace(view, others={"original": other, "retrained": other}))


# RMIA --------------------------------------------------------------------------------------------


def test_offline_p_by_hand():
    """p_out .2 and .6, mean .4: (1.3 x .4 + .7) / 2 = .61; with a = 1 it is the mean itself."""
    log_p = np.log([[0.2], [0.6]])
    assert np.exp(rmia.offline_log_p(log_p)) == pytest.approx([0.61])
    assert np.exp(rmia.offline_log_p(log_p, a=1)) == pytest.approx([0.4])


def test_rmia_scores_by_hand():
    """Ratios of the population 1, 2, 4: 3 exceeds two of them, and one of them twofold by more than 1.5."""
    log_z = np.log([1.0, 2.0, 4.0])
    assert rmia.scores(np.log([3.0]), log_z) == pytest.approx([2 / 3])
    assert rmia.scores(np.log([3.0]), log_z, gamma=1.6) == pytest.approx([1 / 3])
    assert rmia.scores(np.array([-np.inf]), log_z) == pytest.approx([0])


def test_rmia_of_gaussians():
    """p far below .35: p(x) is nearly constant, and the ratio's logarithm is phi, N(d, 1) against N(0, 1).

    The score is then the population's distribution function of phi, monotone: AUC = Phi(d / sqrt 2).
    """
    rng = np.random.default_rng(0)
    sets = {name: rng.normal(-20, 1, size) for name, size in (("test", 3000), ("validation", 5000))}
    splits = {name: (own, rng.normal(-20, 1, (3, len(own)))) for name, own in sets.items()}
    view = view_of(rng.normal(-19, 1, 2000), np.empty((0, 2000)), rng.normal(-20, 1, (3, 2000)), **splits)
    found = rmia.rmia(view)
    assert found["rmia_auc_low"] < norm.cdf(1 / np.sqrt(2)) < found["rmia_auc_high"]
    assert found["rmia_leak"] == pytest.approx(2 * found["rmia_auc"] - 1)


def slow_rmia(own, others, population):
    """The definition, pair by pair, in plain probabilities."""

    def ratio(value, models):
        p = 1 / (1 + np.exp(-value))
        out = np.mean([1 / (1 + np.exp(-m)) for m in models])
        return p / ((1.3 * out + 0.7) / 2)

    reference = [ratio(v, [row[i] for row in population[1]]) for i, v in enumerate(population[0])]
    return [np.mean([ratio(v, [row[i] for row in others]) > z for z in reference]) for i, v in enumerate(own)]


def test_rmia_against_a_slow_reference():
    rng = np.random.default_rng(2)
    sets = {name: (rng.normal(size=n), rng.normal(size=(2, n))) for name, n in
            (("forget", 12), ("test", 15), ("validation", 9))}  # fmt: skip
    own, others = sets.pop("forget")
    found = rmia.rmia(view_of(own, np.empty((0, 12)), others, **sets))
    members = slow_rmia(own, others, sets["validation"])
    non_members = slow_rmia(*sets["test"], sets["validation"])
    pairs = [(a > b) + (a == b) / 2 for a in members for b in non_members]
    assert found["rmia_auc"] == pytest.approx(np.mean(pairs), abs=1e-12)


def test_rmia_without_validation_takes_a_half_of_test_drawn_from_the_seed():
    rng = np.random.default_rng(4)
    test = rng.normal(size=60), rng.normal(size=(2, 60))
    view = view_of(rng.normal(1, 1, 50), np.empty((0, 50)), rng.normal(size=(2, 50)), test=test)
    found = {rmia.rmia(replace(view, seed=seed))["rmia_auc"] for seed in range(4)}
    assert len(found) > 1 and rmia.rmia(view) == rmia.rmia(view)
    small = view_of(np.zeros(5), np.empty((0, 5)), np.zeros((1, 5)), test=(np.zeros(3), np.zeros((1, 3))))
    with pytest.raises(Unavailable, match="3 unseen examples are too few"):
        rmia.rmia(small)
