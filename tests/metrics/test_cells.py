"""Metrics of a cell: unlearned against retrained models over training seeds."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from predictions_by_hand import from_confidences, from_correct
from scipy.stats import norm

from mubench.metrics import epsilon, ulira
from mubench.metrics.base import Cell, Unavailable
from mubench.metrics.epsilon import example_epsilon


def cell_of(unlearned, retrained, **others) -> Cell:
    """Confidences (seeds, N) on D_f; of other splits outputs by kind of model, the same at each seed."""
    models = [
        [{"forget": from_confidences(row), **{n: pair[place] for n, pair in others.items()}} for row in part]
        for place, part in enumerate((unlearned, retrained))
    ]
    return Cell(*models)


def gaussian(shift, seeds=20, examples=2000, seed=0) -> Cell:
    """phi = mu_i + e, e ~ N(0, 1), of unlearned models higher by `shift`."""
    rng = np.random.default_rng(seed)
    level = rng.normal(0, 5, examples)
    both = level + rng.normal(size=(2, seeds, examples))
    return cell_of(both[0] + shift, both[1])


# U-LiRA ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shift", [0.0, 1.0, -2.0])
def test_ulira_of_gaussians(shift):
    """The ratio is (phi - middle) x slope. The middle of S - 1 = 19 other seeds errs by 1 / 2(S - 1).

    The slope, mean difference d with variance 2/(S - 1), has d's sign in the large: AUC = Phi(|d| /
    sqrt(2 + 1/(S - 1))), accuracy Phi(|d| / 2 / sqrt(1 + 1/2(S - 1))), nearly.
    """
    found = ulira.ulira(gaussian(shift))
    assert found["ulira_auc"] == pytest.approx(norm.cdf(abs(shift) / np.sqrt(2 + 1 / 19)), abs=0.015)
    accuracy = norm.cdf(abs(shift) / 2 / np.sqrt(1 + 1 / 38))
    assert found["ulira_accuracy"] == pytest.approx(accuracy, abs=0.015)
    assert found["ulira_leak"] == pytest.approx(abs(2 * found["ulira_auc"] - 1))
    assert found["ulira_models"] == 20


def test_ulira_sees_what_averages_hide():
    """Half of D_f is known too well by unlearned models, half too little; means over D_f are equal."""
    assert ulira.ulira(gaussian(np.tile([2.0, -2.0], 1000)))["ulira_accuracy"] > 0.8


def test_models_of_one_kind_have_half_in_their_interval():
    """60 cells of 6 seeds whose levels differ: binomial(60, .95) lies in 51..60 but 1 in 500 times."""
    rng, inside = np.random.default_rng(1), 0
    for _ in range(60):
        both = rng.normal(0, 1, (2, 6, 1)) + rng.normal(size=(2, 6, 50))
        found = ulira.ulira(cell_of(*both))
        inside += found["ulira_auc_low"] < 0.5 < found["ulira_auc_high"]
    assert inside >= 51


def test_a_seed_is_never_attacked_by_its_own_models():
    """Seed 0's pair moved far away: the others' ratios change, its own are by the others alone."""
    cell = gaussian(1.0, seeds=4, examples=5)
    unlearned, retrained = ulira.confidences(cell)
    moved = unlearned.copy()
    moved[0] += 50
    before, after = (ulira.attacked(part, retrained) for part in (unlearned, moved))
    np.testing.assert_array_equal(before[1][0], after[1][0])
    assert np.all(before[1][1:] != after[1][1:])


def test_ulira_needs_three_seeds():
    with pytest.raises(Unavailable, match="needs 3 training seeds, not 2"):
        ulira.ulira(gaussian(1.0, seeds=2, examples=5))


# epsilon -----------------------------------------------------------------------------------------


def test_epsilon_by_hand():
    """10 models each: above the threshold 7 unlearned and 2 retrained; FPR .2, FNR .3.

    max(ln .8/.3, ln .7/.2) = ln 3.5, but for delta; no other threshold parts two values.
    """
    unlearned, retrained = np.array([0.0] * 3 + [1.0] * 7), np.array([0.0] * 8 + [1.0] * 2)
    found = example_epsilon(unlearned, retrained)
    assert found == pytest.approx(np.log((0.7 - 1e-5) / 0.2))
    assert example_epsilon(retrained, unlearned) == pytest.approx(found)
    assert example_epsilon(-unlearned, -retrained) == pytest.approx(found)


def test_two_thresholds_find_what_one_cannot():
    """Unlearned models lie around the retrained ones: (0, 2] holds 1 of 4 and 3 of 4.

    Of one threshold: at best 1 of 4 against 2 of 4 ... (3/4) / (1/2).
    """
    unlearned, retrained = np.array([0.0, 0.0, 3.0, 1.0]), np.array([1.0, 1.0, 1.0, 3.0])
    assert example_epsilon(unlearned, retrained, delta=0) == pytest.approx(np.log(3))


def test_epsilon_is_infinite_only_where_a_test_never_errs():
    assert example_epsilon(np.array([1.0, 2, 3]), np.array([4.0, 5, 6])) == np.inf
    around = np.array([0.0, 5, 9]), np.array([6.0, 7, 8])
    assert example_epsilon(*around) == np.inf  # by two thresholds
    assert example_epsilon(np.array([0.0, 7, 9]), np.array([6.0, 7, 8])) < np.inf
    assert example_epsilon(np.ones(4), np.ones(4)) == 0


def slow_epsilon(unlearned, retrained, delta):
    """Every pair of thresholds, every test, in loops."""
    values = sorted({*unlearned, *retrained})
    cuts = [-np.inf, *((a + b) / 2 for a, b in pairwise(values)), np.inf]
    best = 0.0
    for low in cuts:
        for high in cuts:
            for positive, negative in ((unlearned, retrained), (retrained, unlearned)):
                fnr = 1 - np.mean([low < x < high for x in positive])
                fpr = np.mean([low < x < high for x in negative])
                if fpr == fnr == 0:
                    return np.inf
                if fpr and fnr:
                    candidates = [(1 - delta - fpr) / fnr, (1 - delta - fnr) / fpr]
                    best = max([best, *(np.log(c) for c in candidates if c > 0)])
    return best


@pytest.mark.parametrize("seed", range(5))
def test_epsilon_against_a_slow_reference(seed):
    """Scores with and without ties."""
    rng = np.random.default_rng(seed)
    for scores in (rng.normal(size=(2, 7)), rng.integers(5, size=(2, 9)).astype(float)):
        scores[0] += 1
        assert example_epsilon(*scores) == pytest.approx(slow_epsilon(*scores, 1e-5))


def test_epsilon_of_gaussians():
    """N(1, 1) against N(0, 1), N = 400 models at their quantiles (i - .5) / N.

    The likelihood ratio grows, so one threshold t is best, and Phi(t) / Phi(t - 1) falls with t: the best
    FNR is the smallest, 1 / N, and t reaches up to the second unlearned model, Phi(t - 1) = 1.5 / N.
    epsilon = ln of Phi(1 + Phi^-1(1.5/N)) / (1/N), but for the rounding to whole models.
    """
    quantiles = norm.ppf((np.arange(400) + 0.5) / 400)
    closed = np.log(400 * norm.cdf(1 + norm.ppf(1.5 / 400)))
    assert example_epsilon(quantiles + 1, quantiles, delta=0) == pytest.approx(closed, abs=0.05)


def test_the_ceiling_is_reached_by_one_error_on_either_side():
    """N = 10: FPR = FNR = .1, ln(.9 / .1) = ln 9."""
    unlearned, retrained = np.array([0.0] + [1.0] * 9), np.array([0.0] * 9 + [1.0])
    assert example_epsilon(unlearned, retrained) == pytest.approx(epsilon.ceiling(10))
    assert epsilon.ceiling(10) == pytest.approx(np.log(9), abs=1e-4)


def test_forgetting_quality_by_hand():
    """10 models: ln 9 = 2.2, bins up to 3. Bin 1: 1, bin 2: 1/2, bin 3: 1/4, bin 6: 1/32; beyond 0."""
    values = np.array([0.0, 0.49, 0.5, 1.2, 2.9, 3.0, np.inf])
    expected = [1, 1, 1 / 2, 1 / 4, 1 / 32, 0, 0]
    assert epsilon.forgetting_quality(values, 10) == pytest.approx(np.mean(expected))
    assert [epsilon.forgetting_quality(np.array([v]), 10) for v in values] == pytest.approx(expected)


def test_epsilon_of_a_cell():
    """Of two examples one parts the models, the other tells nothing."""
    unlearned = np.stack([np.arange(5.0) + 10, np.arange(5.0)], axis=1)
    retrained = np.stack([np.arange(5.0), np.arange(5.0)], axis=1)
    found = epsilon.epsilon(cell_of(unlearned, retrained))
    same = example_epsilon(np.arange(5.0), np.arange(5.0))
    assert found["epsilon"] == pytest.approx((found["epsilon_ceiling"] + same) / 2)
    assert found["epsilon_separable"] == 0.5 and found["epsilon_models"] == 5
    assert found["epsilon_quality"] == epsilon.forgetting_quality(np.array([np.inf, same]), 5)


def test_models_of_one_kind_score_as_chance():
    """Mean of 1,000 examples, and of 200 draws for the chance: each errs by a few hundredths."""
    for seeds in (3, 6, 12):
        found = epsilon.epsilon(gaussian(0.0, seeds=seeds, examples=1000))
        assert found["epsilon"] == pytest.approx(found["epsilon_chance"], abs=0.1)
        assert found["epsilon"] < found["epsilon_ceiling"]
    assert epsilon.epsilon(gaussian(3.0, seeds=12, examples=200))["epsilon"] > found["epsilon_chance"] + 0.5


def test_challenge_score_by_hand():
    """F = 1/2 of two examples' worth; retain 3/4 over 1, test 1/2 over 3/4: 1/2 x 3/4 x 2/3 = 1/4."""
    accuracies = {
        "retain": (from_correct([1, 1, 1, 0]), from_correct([1, 1, 1, 1])),
        "test": (from_correct([1, 1, 0, 0]), from_correct([1, 1, 1, 0])),
    }
    unlearned = np.stack([np.arange(5.0) + 10, np.zeros(5)], axis=1)
    cell = cell_of(unlearned, np.stack([np.arange(5.0), np.zeros(5)], axis=1), **accuracies)
    assert epsilon.challenge_score(cell) == pytest.approx(1 / 4)
    wrong = {**accuracies, "test": (from_correct([1]), from_correct([0]))}
    with pytest.raises(Unavailable, match="accuracy on test is 0"):
        epsilon.challenge_score(cell_of(unlearned, unlearned, **wrong))


# What cells refuse -------------------------------------------------------------------------------

CELL = [ulira.ulira, epsilon.epsilon]


@pytest.mark.parametrize("metric", [*CELL, epsilon.challenge_score])
def test_a_seed_without_predictions_makes_it_unavailable(metric):
    cell = gaussian(1.0, seeds=4, examples=5)
    cell = replace(cell, unlearned=[*cell.unlearned[:3], {}])
    with pytest.raises(Unavailable, match="1 unlearned models have no predictions on forget"):
        metric(cell)


@pytest.mark.parametrize("metric", CELL)
def test_other_examples_and_diverged_models_make_it_unavailable(metric):
    cell = gaussian(1.0, seeds=4, examples=5)
    longer = replace(cell, retrained=[{"forget": from_confidences(np.zeros(6))}] * 4)
    with pytest.raises(Unavailable, match="not predicted on the same examples"):
        metric(longer)
    last = cell.retrained[3]["forget"]
    logits = last.logits.copy()
    logits[1] = np.nan
    broken = [*cell.retrained[:3], {"forget": replace(last, logits=logits)}]
    with pytest.raises(Unavailable, match="1 of 5 rows of logits are not finite"):
        metric(replace(cell, retrained=broken))


@pytest.mark.parametrize("metric", CELL)
def test_the_seed_decides_all_draws(metric):
    cell = gaussian(0.5, seeds=4, examples=20)
    assert metric(cell) == metric(cell)
    assert all(type(value) is float for value in metric(cell).values())
