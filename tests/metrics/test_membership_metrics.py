"""Membership inference, against closed forms, scikit-learn and values worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from predictions_by_hand import from_losses, from_probabilities, random_outputs
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from mubench.metrics import membership
from mubench.metrics.base import Outputs, Unavailable, View
from mubench.metrics.membership import bootstrap_auc, confidence, entropy, modified_entropy


def attacked(forget, test, retain=None, seed=0) -> View:
    """A view of one model by its losses."""
    splits = {"forget": from_losses(forget), "test": from_losses(test)}
    if retain is not None:
        splits["retain"] = from_losses(retain)
    return View("unlearned", {"unlearned": splits}, seed=seed)


def gaussian(n: int, mean: float, seed: int) -> np.ndarray:
    """Losses around `mean`, far above 0."""
    return np.random.default_rng(seed).normal(mean, 1, n)


def test_auc_by_hand():
    """Members .1, .3; others .2, .3. Pairs in order: (.1,.2), (.1,.3) and half of (.3,.3): 2.5 / 4."""
    found = membership.mia_auc(attacked([0.1, 0.3], [0.2, 0.3]))
    assert found["mia_auc"] == 0.625 and found["mia_leak"] == 0.25


def test_aucs_of_rows_agree_with_scikit_learn():
    """Scores with ties, several rows at once."""
    rng = np.random.default_rng(0)
    members, others = rng.integers(8, size=(3, 40)) + 1.0, rng.integers(8, size=(3, 25)) + 0.0
    expected = [
        roc_auc_score([1] * 40 + [0] * 25, np.concatenate(rows)) for rows in zip(members, others, strict=True)
    ]
    np.testing.assert_allclose(membership.aucs(members, others), expected, atol=1e-12)


def test_auc_of_gaussian_losses_is_in_the_interval():
    """Losses N(10, 1) and N(10.7, 1): AUC = Phi(.7 / sqrt 2) = .690."""
    found = membership.mia_auc(attacked(gaussian(2000, 10, 0), gaussian(3000, 10.7, 1)))
    closed = norm.cdf(0.7 / np.sqrt(2))
    assert found["mia_auc_low"] < closed < found["mia_auc_high"]
    assert found["mia_auc_low"] < found["mia_auc"] < found["mia_auc_high"]
    assert found["mia_auc_high"] - found["mia_auc_low"] < 0.04


def test_a_model_that_saw_neither_set_has_half_in_its_interval():
    found = membership.mia_auc(attacked(gaussian(500, 10, 0), gaussian(400, 10, 1)))
    assert found["mia_auc_low"] < 0.5 < found["mia_auc_high"]
    assert found["mia_leak"] < 0.1


def test_the_interval_has_the_width_of_95_percent():
    """Without a difference the AUC's variance is (n + m + 1) / (12 n m), Mann and Whitney's.

    n = 500, m = 400: a standard deviation of .01938, and 2 x 1.96 of them.
    """
    found = membership.mia_auc(attacked(gaussian(500, 10, 0), gaussian(400, 10, 1)))
    width = found["mia_auc_high"] - found["mia_auc_low"]
    assert width == pytest.approx(2 * 1.96 * 0.01938, rel=0.1)


def test_over_unlearning_leaks_too():
    """Losses on D_f far above test's: an AUC of 0 is as much of a leak as 1."""
    found = membership.mia_auc(attacked([8.0, 9.0], [0.1, 0.2]))
    assert found["mia_auc"] == 0 and found["mia_leak"] == 1
    assert membership.mia_auc(attacked([0.1, 0.2], [8.0, 9.0]))["mia_leak"] == 1


def test_a_constant_model_gives_half_exactly():
    found = membership.mia_auc(attacked([1.0] * 5, [1.0] * 9))
    assert [found[f"mia_auc{end}"] for end in ("", "_low", "_high")] == [0.5, 0.5, 0.5]


def test_bootstrap_agrees_with_resampling_and_sorting_again():
    """The same draws scored by scikit-learn, on scores with ties."""
    rng = np.random.default_rng(0)
    members, others = rng.integers(6, size=40) + 1.0, rng.integers(6, size=25) + 0.0
    fast = bootstrap_auc(members, others, np.random.default_rng(5), resamples=50)
    draw, slow = np.random.default_rng(5), []
    for _ in range(50):
        a, b = members[draw.integers(40, size=40)], others[draw.integers(25, size=25)]
        slow.append(roc_auc_score([1] * 40 + [0] * 25, np.concatenate([a, b])))
    np.testing.assert_allclose(fast, slow, atol=1e-12)


def test_intervals_cover_as_often_as_they_say():
    """95 % nominal over 200 data sets: binomial(200, .95) lies in 178..198 but 1 in 2,000 times.

    The percentile interval is a little too narrow at n = 100, hence the room below.
    """
    rng, closed, inside = np.random.default_rng(0), norm.cdf(1 / np.sqrt(2)), 0
    for _ in range(200):
        aucs = bootstrap_auc(rng.normal(1, 1, 100), rng.normal(0, 1, 100), rng, resamples=200)
        low, high = np.quantile(aucs, [0.025, 0.975])
        inside += low < closed < high
    assert 175 <= inside <= 198


def test_entropy_and_confidence_by_hand():
    """(1/2, 1/4, 1/4): entropy 1.5 ln 2, top 1/2. Uniform: ln 3 and 1/3."""
    outputs = from_probabilities([[0.5, 0.25, 0.25], [1 / 3] * 3], [1, 0])
    np.testing.assert_allclose(entropy(outputs), [1.5 * np.log(2), np.log(3)])
    np.testing.assert_allclose(np.exp(confidence(outputs)), [0.5, 1 / 3])


def test_modified_entropy_by_hand():
    """p = (.5, .25, .25), each term of the label and of the others in turn.

    Label 0: -.5 ln .5 - 2 (.25 ln .75); label 1: -.75 ln .25 - .5 ln .5 - .25 ln .75.
    """
    outputs = from_probabilities([[0.5, 0.25, 0.25]] * 2, [0, 1])
    first = -0.5 * np.log(0.5) - 0.5 * np.log(0.75)
    second = -0.75 * np.log(0.25) - 0.5 * np.log(0.5) - 0.25 * np.log(0.75)
    np.testing.assert_allclose(modified_entropy(outputs), [first, second])


def test_modified_entropy_agrees_with_the_definition():
    outputs = random_outputs(60, 0, classes=4)
    p = np.exp(outputs.logits.astype(float))
    p /= p.sum(axis=1, keepdims=True)
    slow = [
        -(1 - row[y]) * np.log(row[y]) - sum(q * np.log(1 - q) for i, q in enumerate(row) if i != y)
        for row, y in zip(p, outputs.targets, strict=True)
    ]
    np.testing.assert_allclose(modified_entropy(outputs), slow, rtol=1e-10)


def test_modified_entropy_of_certain_predictions_stays_finite_and_ordered():
    """Wrong by a logit gap of g: about g + g = 2g (p_y = e^-g, 1 - p_top = e^-g); right: about 0."""
    logits = np.array([[0.0, 800.0], [0.0, 1000.0], [1000.0, 0.0]])
    outputs = Outputs(np.ones(3), np.zeros(3, int), logits)
    np.testing.assert_allclose(modified_entropy(outputs), [1600, 2000, 0], atol=1e-9)


@pytest.mark.parametrize("name", ["confidence", "entropy", "modified_entropy"])
def test_each_score_ranks_surer_members_higher(name):
    """Members at .9, others at .6, both right: every attack separates them perfectly."""
    sure = from_probabilities([[0.9, 0.1], [0.95, 0.05]], [0, 0])
    unsure = from_probabilities([[0.6, 0.4], [0.55, 0.45]], [0, 0])
    view = View("unlearned", {"unlearned": {"forget": sure, "test": unsure}})
    found = getattr(membership, f"mia_{name}_auc")(view)
    assert found == {f"mia_{name}{end}": 1.0 for end in ("_auc", "_auc_low", "_auc_high", "_leak")}


def test_only_scores_that_read_labels_tell_sure_mistakes_apart():
    """Members right and others wrong, all at .9: label-free scores see nothing."""
    models = {"unlearned": {"forget": from_probabilities([[0.9, 0.1]] * 3, [0] * 3),
                            "test": from_probabilities([[0.9, 0.1]] * 4, [1] * 4)}}  # fmt: skip
    view = View("unlearned", models)
    assert membership.mia_confidence_auc(view)["mia_confidence_auc"] == 0.5
    assert membership.mia_entropy_auc(view)["mia_entropy_auc"] == 0.5
    assert membership.mia_modified_entropy_auc(view)["mia_modified_entropy_auc"] == 1.0
    assert membership.mia_auc(view)["mia_auc"] == 1.0


def test_tpr_by_hand():
    """100 others at 1..100, members .5, 1, 1.5 and 50. At most 1 other above: all below loss 2."""
    view = attacked([0.5, 1.0, 1.5, 50.0], np.arange(1.0, 101.0))
    assert membership.mia_tpr_1(view) == {"mia_tpr@1%": 0.75}


def test_tpr_is_not_interpolated_through_ties():
    """The 5 best others tie with a member: to find it costs 5 %, over 1 %; one member is safe."""
    view = attacked([0.5, 1.0], [1.0] * 5 + [9.0] * 95)
    assert membership.mia_tpr_1(view) == {"mia_tpr@1%": 0.5}


def test_tpr_keeps_points_on_a_straight_roc():
    """A member leads; then one member and one other tie at each of 99 losses, and another other.

    One other of 100 costs 1 % and finds two members of 100, on a straight line to the next.
    """
    view = attacked(np.arange(0.5, 100), np.append(np.arange(1.5, 100), 200.0))
    assert membership.mia_tpr_1(view) == {"mia_tpr@1%": 0.02}


def test_tpr_of_gaussians():
    """Shift 1: TPR = Phi(1 + Phi^-1(.01)) = .092 and, at .1 %, Phi(1 + Phi^-1(.001)) = .018."""
    view = attacked(gaussian(20000, 10, 0), gaussian(20000, 11, 1))
    expected = norm.cdf(1 + norm.ppf([0.01, 0.001]))
    assert membership.mia_tpr_1(view)["mia_tpr@1%"] == pytest.approx(expected[0], abs=0.015)
    assert membership.mia_tpr_01(view)["mia_tpr@0.1%"] == pytest.approx(expected[1], abs=0.008)


@pytest.mark.parametrize(("n", "one", "tenth"), [(99, 0, 0), (100, 1, 0), (999, 1, 0), (1000, 1, 1)])
def test_a_rate_below_one_example_is_unavailable(n, one, tenth):
    view = attacked(gaussian(20, 10, 0), gaussian(n, 10, 1))
    for metric, works in ((membership.mia_tpr_1, one), (membership.mia_tpr_01, tenth)):
        if works:
            assert 0 <= next(iter(metric(view).values())) <= 1
        else:
            with pytest.raises(Unavailable, match=f"of {n} non-members is less than one example"):
                metric(view)


def test_efficacy_is_one_where_the_forgotten_look_unseen_and_zero_where_known():
    """Probability .95 on D_r and .35 on test; D_f at either."""
    known, unseen = np.full(200, -np.log(0.95)), np.full(150, -np.log(0.35))
    assert membership.mia_efficacy(attacked(unseen[:40], unseen, known)) == 1.0
    assert membership.mia_efficacy(attacked(known[:40], unseen, known)) == 0.0
    mixed = np.concatenate([known[:30], unseen[:10]])
    assert membership.mia_efficacy(attacked(mixed, unseen, known)) == 0.25


def test_efficacy_trains_on_equal_numbers():
    """D_r is 20 times test and overlaps it; without balance the SVC would call all D_f members."""
    rng = np.random.default_rng(0)
    known, unseen = -np.log(rng.uniform(0.5, 1, 4000)), -np.log(rng.uniform(0.4, 0.9, 200))
    found = membership.mia_efficacy(attacked(-np.log(rng.uniform(0.4, 0.9, 300)), unseen, known))
    assert found > 0.5


def test_efficacy_draws_its_sample_from_the_seed(view):
    """D_r has 1,500 rows and test 1,100, so the draw of D_r decides a little."""
    seeds = {membership.mia_efficacy(replace(view, seed=seed)) for seed in range(4)}
    assert len(seeds) > 1


def test_efficacy_of_a_constant_model_is_unavailable():
    with pytest.raises(Unavailable, match="equally confident"):
        membership.mia_efficacy(attacked([1.0] * 5, [1.0] * 9, [1.0] * 9))


def test_logistic_attack_on_separate_and_on_equal_losses():
    found = membership.mia_lr(attacked(gaussian(200, 10, 0), gaussian(300, 30, 1)))
    assert found == {"mia_lr": 1.0, "indiscernibility": 0.0}
    found = membership.mia_lr(attacked([1.0] * 40, [1.0] * 60))
    assert found == {"mia_lr": 0.5, "indiscernibility": 1.0}


def test_logistic_attack_on_gaussians():
    """Equal priors and a shift of 2: the best threshold is right with Phi(1) = .841.

    D_f is five times test: equal numbers are drawn, or calling all members would score .83.
    """
    found = membership.mia_lr(attacked(gaussian(5000, 10, 0), gaussian(1000, 12, 1)))
    assert found["mia_lr"] == pytest.approx(norm.cdf(1), abs=0.025)
    assert found["indiscernibility"] == pytest.approx(1 - abs(2 * found["mia_lr"] - 1))


def test_logistic_attack_on_a_shuffled_label_guesses():
    found = membership.mia_lr(attacked(gaussian(3000, 10, 0), gaussian(400, 10, 1)))
    assert found["mia_lr"] == pytest.approx(0.5, abs=0.08)
    assert found["indiscernibility"] > 0.8


@pytest.mark.parametrize("scale", [1e-6, 1e8])
def test_logistic_attack_sees_memorised_and_diverged_losses_alike(scale):
    """The unit of the loss decides nothing; unstandardised, the fit would be blind at both ends."""

    def sized(losses) -> Outputs:
        return Outputs(losses * scale, np.zeros(len(losses), int), np.zeros((len(losses), 2)))

    splits = {"forget": sized(gaussian(200, 10, 0)), "test": sized(gaussian(200, 30, 1))}
    assert membership.mia_lr(View("unlearned", {"unlearned": splits}))["mia_lr"] == 1.0


def test_logistic_attack_needs_ten_a_side():
    assert membership.mia_lr(attacked(gaussian(10, 10, 0), gaussian(10, 10, 1)))
    with pytest.raises(Unavailable, match="needs 10 examples"):
        membership.mia_lr(attacked(gaussian(9, 10, 0), gaussian(50, 10, 1)))
