"""Paired tests between methods over the training seeds that they share, corrected for their number.

Two methods that start from the same original model and forget the same examples are compared seed by seed, so
that what a seed does to both drops out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import combinations
from typing import NamedTuple

import numpy as np

from mubench.statistics import FEWEST, Test
from mubench.statistics.seeds import Seeds, Values, averaged, t_quantile


class Pair(NamedTuple):
    """What two methods' shared training seeds say of their difference, first - second."""

    n: int  # shared training seeds
    difference: float | None = None  # mean over them; None for n = 0
    half_width: float | None = None  # of its t interval; None for n < 2
    p: float | None = None  # two-sided; None for n < FEWEST
    adjusted: float | None = None  # after Holm's correction over all pairs compared


class Pairs(Mapping[tuple[str, str], Pair]):
    """Pairs of methods, each made when it is asked for: of fifty methods there are more than a thousand."""

    def __init__(self, names: Sequence[str], measured: np.ndarray) -> None:
        """`measured` (5, P): the fields of a Pair, NaN for None, by every two names in their order."""
        self._places = _places(tuple(names))
        self._measured = measured
        self.tested = bool(np.isfinite(measured[4]).any())  # whether any of them was

    def __getitem__(self, pair: tuple[str, str]) -> Pair:
        n, *others = self._measured[:, self._places[pair]].tolist()
        return Pair(int(n), *(None if math.isnan(one) else one for one in others))

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


@lru_cache(maxsize=8)
def _places(names: tuple[str, ...]) -> dict[tuple[str, str], int]:
    """Numbers of pairs in their order; the columns of a table have them in common."""
    return {pair: place for place, pair in enumerate(combinations(names, 2))}


def compare(methods: Mapping[str, Values], test: Test = "t") -> Pairs:
    """Every pair of methods; the family that Holm's correction covers is all of them.

    A pair is compared on the (training seed, forget set) pairs that both have, averaged within a training
    seed.
    """
    means = [averaged(values, 2) for values in methods.values()]
    first, second = np.triu_indices(len(means), 1)
    measured = np.full((5, len(first)), np.nan)
    for shared, pairs in _by_shared([frozenset(one) for one in means], first, second).items():
        rows = np.unique([first[pairs], second[pairs]])
        seeds = np.zeros((len(means), len({train for train, *_ in shared})))
        seeds[rows] = [_seeds(means[row], shared) for row in rows]
        measured[:4, pairs] = _measured(seeds[first[pairs]] - seeds[second[pairs]], test)
    tested = np.isfinite(measured[3])
    measured[4, tested] = holm(measured[3, tested].tolist())
    return Pairs(list(methods), measured)


def _by_shared(
    grounds: Sequence[frozenset[Seeds]], first: np.ndarray, second: np.ndarray
) -> dict[frozenset[Seeds], np.ndarray]:
    """Numbers of pairs by the (training seed, forget set) pairs that their two methods have in common."""
    kinds = list(dict.fromkeys(grounds))
    kind = np.array([kinds.index(ground) for ground in grounds], dtype=np.int64)
    mixed = kind[first] * len(kinds) + kind[second]
    found: dict[frozenset[Seeds], list[np.ndarray]] = {}
    for number in np.unique(mixed).tolist():
        shared = kinds[number // len(kinds)] & kinds[number % len(kinds)]
        found.setdefault(shared, []).append(np.flatnonzero(mixed == number))
    return {shared: np.concatenate(several) for shared, several in found.items()}


def _seeds(means: Values, shared: frozenset[Seeds]) -> list[float]:
    """A method's means by training seed, over the shared seeds and forget sets only."""
    return list(averaged({key: means[key] for key in sorted(shared)}).values())


def _measured(differences: np.ndarray, test: Test) -> np.ndarray:
    """The facts (4, P) of pairs from their differences (P, n) by training seed, without a correction."""
    count, n = differences.shape
    found = np.full((4, count), np.nan)
    found[0] = n
    if n > 0:
        found[1] = differences.mean(1)
    if n > 1:
        found[2] = t_quantile(n - 1) * differences.std(1, ddof=1) / n**0.5
    if n >= FEWEST:
        found[3] = (paired_t if test == "t" else wilcoxon)(differences)
    return found


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
