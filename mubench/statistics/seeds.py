"""Means over training seeds: runs are averaged within a training seed before anything else.

Another unlearning seed, evaluation seed or forget set measures the same original model again; only another
training seed is another draw of what a method starts from. So n is the number of training seeds, whatever
else was repeated (Lanyon et al., 2025, arXiv:2510.26714).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from statistics import fmean
from typing import Any

LEVEL = 0.95  # of intervals; tests are made at 1 - LEVEL
LEVELS = ("train", "forget", "unlearn", "eval")  # outermost first
Seeds = tuple[Any, ...]  # seed.train, the forget set, seed.unlearn, seed.eval; or the first of these
Values = Mapping[Seeds, float]


def averaged(values: Values, depth: int = 1) -> dict[Seeds, float]:
    """Means over the innermost level, then the next, until the keys are `depth` long."""
    found = {key[:depth]: value for key, value in values.items()}
    if len(found) == len(values):  # one of each: nothing to average
        return found
    found = dict(values)
    while any(len(key) > depth for key in found):
        shorter = {key[:-1]: value for key, value in found.items()}
        if len(shorter) == len(found):
            found = shorter
            continue
        groups = defaultdict(list)
        for key, value in found.items():
            groups[key[:-1]].append(value)
        found = {key: fmean(several) for key, several in groups.items()}
    return found


@dataclass(frozen=True)
class Summary:
    """A quantity over the training seeds of a cell."""

    mean: float
    n: int  # training seeds
    sd: float | None  # over training seeds, n - 1 in the denominator; None for n = 1
    half_width: float | None  # of the t interval of the mean; None for n = 1


def summarise(values: Values) -> Summary:
    """Mean, standard deviation and t interval over training seeds; `values` must not be empty."""
    seeds = list(averaged(values).values())
    n, mean = len(seeds), fmean(seeds)
    if n == 1:
        return Summary(mean, 1, None, None)
    sd = (math.fsum((value - mean) ** 2 for value in seeds) / (n - 1)) ** 0.5
    return Summary(mean, n, sd, t_quantile(n - 1) * sd / n**0.5)


@cache
def t_quantile(df: int) -> float:
    """Student's t quantile of the two-sided interval at LEVEL."""
    # Not scipy.stats: importing it takes longer than printing a thousand records.
    from scipy.special import stdtrit

    return float(stdtrit(df, (1 + LEVEL) / 2))


def repeats(values: Values) -> dict[str, int]:
    """How often each level was repeated within one value of the level above; where that varies, at most."""
    counts, inner = {}, dict.fromkeys(values)
    for depth, level in reversed(list(enumerate(LEVELS))):
        groups: dict[Seeds, set[Any]] = defaultdict(set)
        for key in inner:
            groups[key[:depth]].add(key[depth])
        counts[level] = max(map(len, groups.values()))
        inner = dict.fromkeys(groups)
    return dict(reversed(counts.items()))
