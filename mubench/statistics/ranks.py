"""Mean ranks of methods over blocks (tables), Friedman's test, and Nemenyi's critical difference.

Demsar (2006), "Statistical comparisons of classifiers over multiple data sets", JMLR 7, section 3.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mubench.statistics import Undefined
from mubench.statistics.seeds import LEVEL


@dataclass(frozen=True)
class Ranking:
    """k methods over N blocks; rank 1 is the best, ties share their mean rank."""

    ranks: dict[str, float]  # mean rank by method, best first
    blocks: int
    critical_difference: float  # mean ranks further apart differ (Nemenyi)
    statistic: float | None  # Friedman's chi square; None for fewer than 3 methods, or if all tie everywhere
    p: float | None

    @property
    def groups(self) -> list[tuple[str, ...]]:
        """Longest runs of two or more methods, none of which is told apart from another."""
        names = list(self.ranks)
        found: list[tuple[str, ...]] = []
        for start, first in enumerate(names):
            group = tuple(
                n for n in names[start:] if self.ranks[n] - self.ranks[first] <= self.critical_difference
            )
            if len(group) > 1 and not (found and set(group) <= set(found[-1])):
                found.append(group)
        return found


def ranking(scores: Mapping[str, list[float]]) -> Ranking:
    """Rank methods by their scores (more is better) in each of N blocks; Undefined for N or k below 2."""
    from scipy import stats

    table = np.array(list(scores.values()), dtype=np.float64).T
    if table.ndim != 2 or min(table.shape) < 2:
        raise Undefined("ranks take two tables or more that have the same two methods or more")
    blocks, k = table.shape
    means = stats.rankdata(-table, axis=1).mean(0)
    statistic = p = None
    if k > 2 and (table != table[:, :1]).any():
        statistic, p = map(float, stats.friedmanchisquare(*table.T))
    best_first = sorted(zip(means.tolist(), scores, strict=True))
    ranks = {name: rank for rank, name in best_first}
    return Ranking(ranks, blocks, critical_difference(k, blocks), statistic, p)


def critical_difference(k: int, blocks: int) -> float:
    """Nemenyi's critical difference of mean ranks of k methods over N blocks, at LEVEL."""
    from scipy.stats import studentized_range

    q = studentized_range.ppf(LEVEL, k, np.inf) / 2**0.5
    return float(q * (k * (k + 1) / (6 * blocks)) ** 0.5)
