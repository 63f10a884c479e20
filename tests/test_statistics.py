"""Intervals, variance components and paired tests: against SciPy, by hand, and by simulation."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy import stats

from mubench.statistics import Undefined
from mubench.statistics.components import BOTH, components
from mubench.statistics.paired import compare, holm, paired_t, wilcoxon
from mubench.statistics.seeds import Seeds, averaged, repeats, summarise


def values(table: np.ndarray) -> dict[Seeds, float]:
    """Runs (training seeds, forget sets, unlearning seeds, evaluation seeds) by their seeds."""
    names = [range(size) for size in table.shape]
    return {key: float(table[key]) for key in product(*names)}


def by_train(numbers: list[float]) -> dict[Seeds, float]:
    return {(seed, "f", 0, 0): number for seed, number in enumerate(numbers)}


def test_the_interval_of_three_numbers_by_hand():
    found = summarise(by_train([1.0, 2.0, 6.0]))
    # mean 3, squares 4 + 1 + 9 over 2; the quantile t(2, .975) = 4.30265 is any textbook's
    assert (found.mean, found.n, found.sd) == (3.0, 3, pytest.approx(7**0.5))
    assert found.half_width == pytest.approx(4.30265 * 7**0.5 / 3**0.5, rel=1e-6)
    alone = summarise(by_train([5.0]))
    assert (alone.mean, alone.n, alone.sd, alone.half_width) == (5.0, 1, None, None)


@pytest.mark.parametrize("n", [2, 3, 5, 30])
def test_the_interval_is_scipys(n):
    rng = np.random.default_rng(n)
    for _ in range(20):
        numbers = rng.normal(rng.normal(), rng.exponential(), n)
        found = summarise(by_train(list(numbers)))
        low, high = stats.ttest_1samp(numbers, 0).confidence_interval(0.95)
        assert found.half_width is not None
        assert (found.mean - found.half_width, found.mean + found.half_width) == pytest.approx((low, high))
        assert found.sd == pytest.approx(numbers.std(ddof=1))


def test_unlearning_seeds_never_stand_in_for_training_seeds():
    runs = {(1, "f", 1, 1): 0.0, (1, "f", 2, 1): 1.0, (1, "f", 3, 1): 2.0, (2, "f", 1, 1): 4.0}
    found = summarise(runs)
    assert (found.mean, found.n) == (2.5, 2)  # of 1 and 4, not of four runs
    many = {**runs, **{(1, "f", seed, 1): 1.0 for seed in range(10, 90)}}
    assert summarise(many) == found
    assert summarise({(1, "f", seed, 1): float(seed) for seed in range(9)}).half_width is None


def test_every_level_is_averaged_within_the_one_above():
    runs = {(1, "a", 1, 1): 0.0, (1, "a", 1, 2): 2.0, (1, "a", 2, 1): 5.0, (1, "b", 1, 1): 9.0}
    # evaluation: 1 and 5; unlearning: 3; forget sets: 3 and 9
    assert averaged(runs, 2) == {(1, "a"): 3.0, (1, "b"): 9.0} and averaged(runs) == {(1,): 6.0}
    assert repeats(runs) == {"train": 1, "forget": 2, "unlearn": 2, "eval": 2}


def test_components_of_a_nested_textbook_example():
    """Purity of batches within suppliers (Montgomery, Design and Analysis of Experiments, example 14.1)."""
    purity = np.array([
        [[1, -1, 0], [-2, -3, -4], [-2, 0, 1], [1, 4, 0]],
        [[1, -2, -3], [0, 4, 2], [-1, 0, -2], [0, 3, 2]],
        [[2, 4, 0], [-2, 0, 2], [1, -1, 2], [3, 2, 1]],
    ])  # fmt: skip
    batches = {
        (supplier, f"{supplier}{batch}", 0, sample): float(purity[supplier, batch, sample])
        for supplier, batch, sample in product(range(3), range(4), range(3))
    }
    found = components(batches)
    # Mean squares 7.53, 7.77 and 2.64; the supplier's component is negative there.
    assert found["eval"] == pytest.approx(2.64, abs=0.005) and found["train"] == 0.0
    assert found["forget"] == pytest.approx((7.77 - 2.64) / 3, abs=0.005)
    assert found["unlearn"] is None and BOTH not in found


@pytest.mark.parametrize("crossed", [True, False])
def test_components_are_right_on_average(crossed):
    rng, shape = np.random.default_rng(0), (6, 3, 2, 2)
    truth = {"train": 1.0, "forget": 0.5, BOTH: 0.25, "unlearn": 0.125, "eval": 0.0625}

    def draw(level: str, *size: int) -> np.ndarray:
        return rng.normal(0, truth[level] ** 0.5, size)

    estimates = []
    for _ in range(1500):
        runs = draw("train", 6, 1, 1, 1) + draw("unlearn", 6, 3, 2, 1) + draw("eval", *shape)
        runs += draw("forget", *((1, 3, 1, 1) if crossed else (6, 3, 1, 1))) + draw(BOTH, 6, 3, 1, 1)
        named = values(runs)
        if not crossed:
            named = {(key[0], f"{key[0]} {key[1]}", *key[2:]): value for key, value in named.items()}
        estimates.append(components(named))
    mean = {level: np.mean([one[level] for one in estimates]) for level in estimates[0]}
    if not crossed:
        truth["forget"] += truth.pop(BOTH)
    assert mean == pytest.approx(truth, rel=0.08)


def test_a_level_that_was_not_repeated_lies_in_the_one_above():
    rng = np.random.default_rng(1)
    runs = rng.normal(size=(4, 1, 3, 1))
    found = components(values(runs))
    within = runs.var(2, ddof=1).mean()
    assert found["unlearn"] == pytest.approx(within) and found["eval"] is found["forget"] is None
    assert found["train"] == pytest.approx(max(0, runs.mean(2).var(ddof=1) - within / 3))
    alone = components(values(rng.normal(size=(5, 1, 1, 1)) + 7))
    assert [level for level, value in alone.items() if value is not None] == ["train"]
    with pytest.raises(Undefined, match="not repeated equally often"):
        components({(1, "f", 1, 1): 1.0, (1, "f", 2, 1): 2.0, (2, "f", 1, 1): 3.0})


def test_holm_by_hand():
    # .005 x 4, .01 x 3, .03 x 2, .04 x 1 raised to .06: Holm's step-down on Wikipedia's example
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == [] and holm([0.2]) == [0.2] and holm([0.5, 0.6]) == [1.0, 1.0]


def test_holm_rejects_what_its_steps_reject():
    """The definition: go through the p values by size, stop at the first above alpha / (those left)."""
    rng = np.random.default_rng(2)
    for _ in range(200):
        p = rng.beta(0.3, 3, 7)
        rejected = np.zeros(7, bool)
        for place, one in enumerate(np.argsort(p)):
            if p[one] > 0.05 / (7 - place):
                break
            rejected[one] = True
        assert (np.array(holm(list(p))) <= 0.05).tolist() == rejected.tolist()


def test_paired_tests_are_scipys():
    rng = np.random.default_rng(3)
    for n in (3, 5, 8, 20):
        differences = rng.normal(0.3, 1, (6, n))
        assert paired_t(differences) == pytest.approx(stats.ttest_1samp(differences, 0, axis=1).pvalue)
        expected = [stats.wilcoxon(row, method="exact").pvalue for row in differences]
        assert wilcoxon(differences) == pytest.approx(expected)


def test_paired_tests_of_equal_and_of_constant_differences():
    differences = np.array([[0.0, 0.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0, 1.0]])
    assert paired_t(differences).tolist() == [1.0, 0.0]
    # Five equal signs of 2^5 patterns, two-sided; a tie in all sizes changes nothing.
    assert wilcoxon(differences).tolist() == [1.0, pytest.approx(2 / 2**5)]
    ties = np.array([[0.3 - 0.2, 0.1, 0.2 - 0.1, -0.1, 0.4]])  # equal but for rounding, one zero less
    assert wilcoxon(ties) == pytest.approx(wilcoxon(np.array([[1.0, 1.0, 1.0, -1.0, 4.0]])))


def test_methods_are_compared_on_what_they_share():
    a = {(1, "f", 0, 0): 1.0, (2, "f", 0, 0): 2.0, (3, "f", 0, 0): 4.0, (9, "f", 0, 0): 99.0}
    b = {(1, "f", 0, 0): 0.0, (2, "f", 0, 0): 0.0, (3, "f", 0, 0): 0.0, (1, "g", 0, 0): 99.0}
    pair = compare({"a": a, "b": b})["a", "b"]
    expected = stats.ttest_rel([1.0, 2.0, 4.0], [0.0, 0.0, 0.0])
    low, high = expected.confidence_interval(0.95)
    assert (pair.n, pair.difference) == (3, pytest.approx(7 / 3)) and pair.p == pytest.approx(expected.pvalue)
    assert pair.adjusted == pair.p and pair.half_width == pytest.approx((high - low) / 2)


def test_few_shared_seeds_are_not_tested_and_not_counted_in_the_family():
    rng = np.random.default_rng(4)
    methods = {name: by_train(list(rng.normal(size=4))) for name in "abc"} | {"d": by_train([1.0, 2.0])}
    methods["e"] = {(7, "g", 0, 0): 1.0}
    found = compare(methods)
    assert len(found) == 10 and [pair for pair in found if found[pair].p is not None] == [
        ("a", "b"), ("a", "c"), ("b", "c")
    ]  # fmt: skip
    assert (found["a", "d"].n, found["a", "d"].adjusted) == (2, None) and found["a", "d"].half_width
    assert (found["a", "e"].n, found["a", "e"].difference) == (0, None)
    raw = [found[pair].p or 0.0 for pair in (("a", "b"), ("a", "c"), ("b", "c"))]
    adjusted = [found[pair].adjusted for pair in (("a", "b"), ("a", "c"), ("b", "c"))]
    assert adjusted == pytest.approx(holm(raw))


@pytest.mark.parametrize(("test", "n"), [("t", 3), ("t", 8), ("wilcoxon", 8)])
def test_equal_methods_are_told_apart_in_five_of_a_hundred_tables_at_most(test, n):
    """Five methods of equal worth that share what a seed does to all: the family-wise error after Holm."""
    rng, tables, wrong = np.random.default_rng(5), 1000 if test == "t" else 150, 0
    for _ in range(tables):
        noise = rng.normal(size=n) * 3 + rng.normal(size=(5, n))
        found = compare({str(name): by_train(list(row)) for name, row in enumerate(noise)}, test)
        wrong += any(pair.adjusted is not None and pair.adjusted < 0.05 for pair in found.values())
    if test == "t":
        assert 0.02 < wrong / tables < 0.06
    else:
        assert wrong / tables < 0.06
