"""How well a number tells two groups of models apart: the area under the ROC curve, and its interval."""

from __future__ import annotations

from functools import cache

import numpy as np

from mubench.statistics.seeds import LEVEL

NEAR = 1e-9


def auc(higher: np.ndarray, lower: np.ndarray) -> float:
    """The share of pairs in which `higher` (N,) has the larger number than `lower` (M,); ties count half."""
    apart = np.subtract.outer(higher, lower)
    return float(((apart > 0) + (apart == 0) / 2).mean())


@cache
def interval(area: float, first: int, second: int) -> tuple[float, float]:
    """The score interval at LEVEL of an AUC of groups of these sizes: wide where they are few, even at 1.

    Method 5 of Newcombe (2006), Statistics in Medicine 25(4): the areas that lie no further from the one
    seen than z of their own standard errors, which are those of Hanley and McNeil for groups of one size.
    """
    from scipy.optimize import brentq
    from scipy.special import ndtri

    z, more = float(ndtri((1 + LEVEL) / 2)), (first + second) / 2 - 1

    def excess(t: float) -> float:
        variance = t * (1 - t) * (1 + more * (1 - t) / (2 - t) + more * t / (1 + t)) / (first * second)
        return (t - area) ** 2 - z * z * float(variance)

    inside = min(max(area, NEAR), 1 - NEAR)  # at 0 and 1 themselves there is a root that bounds nothing
    low = brentq(excess, 0.0, inside) if area > NEAR else 0.0
    high = brentq(excess, inside, 1.0) if area < 1 - NEAR else 1.0
    return float(low), float(high)
