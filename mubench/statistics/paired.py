"""Paired tests between methods over the training seeds that they share, corrected for their number.

Two methods that start from the same original model and forget the same examples are compared seed by seed, so
that what a seed does to both drops out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Literal, NamedTuple

import numpy as np

from mubench.statistics.seeds import Seeds, Values, averaged, t_quantile

Test = Literal["t", "wilcoxon"]
TESTS: tuple[Test, ...] = ("t", "wilcoxon")
FEWEST = 3  # shared training seeds from which on a test is made


Measured = tuple[int, float | None, float | None, float | None]  # the first four fields of a Pair


class Pair(NamedTuple):
    """What two methods' shared training seeds say of their difference, first - second."""

    n: int  # shared training seeds
    difference: float | None = None  # mean over them; None for n = 0
    half_width: float | None = None  # of its t interval; None for n < 2
    p: float | None = None  # two-sided; None for n < FEWEST
    adjusted: float | None = None  # after Holm's correction over all pairs compared


def compare(methods: Mapping[str, Values], test: Test = "t") -> dict[tuple[str, str], Pair]:
    """Every pair of methods; the family that Holm's correction covers is all of them.

    A pair is compared on the (training seed, forget set) pairs that both have, averaged within a training
    seed.
    """
    means = {name: averaged(values, 2) for name, values in methods.items()}
    grounds = {name: frozenset(of_method) for name, of_method in means.items()}
    by_shared: dict[frozenset[Seeds], list[tuple[str, str]]] = {}
    for first, second in combinations(means, 2):
        by_shared.setdefault(grounds[first] & grounds[second], []).append((first, second))
    found: dict[tuple[str, str], Measured] = {}
    for shared, pairs in by_shared.items():
        seeds = {name: _seeds(means[name], shared) for name in {name for pair in pairs for name in pair}}
        differences = np.array([seeds[first] - seeds[second] for first, second in pairs])
        found |= dict(zip(pairs, _measured(differences, test), strict=True))
    tested = {pair: p for pair, (*_, p) in found.items() if p is not None}
    adjusted = dict(zip(tested, holm(list(tested.values())), strict=True))
    return {pair: Pair(*found[pair], adjusted.get(pair)) for pair in combinations(means, 2)}


def _seeds(means: Values, shared: frozenset[Seeds]) -> np.ndarray:
    """A method's means by training seed (n,), over the shared seeds and forget sets only."""
    return np.array(list(averaged({key: means[key] for key in sorted(shared)}).values()))


def _measured(differences: np.ndarray, test: Test) -> list[Measured]:
    """The facts of pairs from their differences (P, n) by training seed, without a correction."""
    count, n = differences.shape
    if n == 0:
        return [(0, None, None, None)] * count
    nothing: list[float | None] = [None] * count
    halves = (t_quantile(n - 1) * differences.std(1, ddof=1) / n**0.5).tolist() if n > 1 else nothing
    p = (paired_t if test == "t" else wilcoxon)(differences).tolist() if n >= FEWEST else nothing
    return list(zip([n] * count, differences.mean(1).tolist(), halves, p, strict=True))


def paired_t(differences: np.ndarray) -> np.ndarray:
    """Two-sided p values (P,) of the paired t test of differences (P, n), n > 1.

    No difference at all gives 1; one that is the same at every seed gives 0.
    """
    from scipy.special import stdtr  # as scipy.stats.ttest_rel does, which takes a second to import

    mean = differences.mean(1)
    error = differences.std(1, ddof=1) / differences.shape[1] ** 0.5
    with np.errstate(divide="ignore"):
        t = np.divide(mean, error, out=np.zeros_like(mean), where=mean != 0)
    return np.asarray(2 * stdtr(differences.shape[1] - 1, -np.abs(t)))


def wilcoxon(differences: np.ndarray) -> np.ndarray:
    """Two-sided p values (P,) of the signed-rank test of differences (P, n); 1 where all are zero.

    Exact for few seeds. Below 6 of them p cannot fall below .05.
    """
    from scipy import stats

    found = np.ones(len(differences))
    some = (differences != 0).any(1)
    if some.any():
        scaled = differences[some] / np.abs(differences[some]).max(1, keepdims=True)
        found[some] = stats.wilcoxon(scaled.round(9), axis=1).pvalue  # rounded: equal differences tie
    return found


def holm(p: Sequence[float]) -> list[float]:
    """Adjusted p values: those below alpha hold together with family-wise error alpha (Holm, 1979)."""
    values = np.asarray(p, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    adjusted = np.empty_like(values)
    adjusted[order] = np.maximum.accumulate((len(values) - np.arange(len(values))) * values[order])
    return [float(one) for one in np.minimum(adjusted, 1)]
