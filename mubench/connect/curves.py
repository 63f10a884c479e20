"""Paths between two points by way of a third (Garipov et al., 2018)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor

# What first, middle and last point count at t in [0, 1]; they sum to 1.
Curve = Callable[[float], tuple[float, float, float]]


def linear(t: float) -> tuple[float, float, float]:
    """The straight line, which needs no middle."""
    return 1 - t, 0.0, t


def bezier(t: float) -> tuple[float, float, float]:
    """The quadratic Bezier curve: (1 - t)^2, 2 t (1 - t), t^2."""
    return (1 - t) ** 2, 2 * t * (1 - t), t**2


def chain(t: float) -> tuple[float, float, float]:
    """The polygonal chain: straight to the middle at t = 1/2, and straight on."""
    return (1 - 2 * t, 2 * t, 0.0) if t <= 0.5 else (0.0, 2 - 2 * t, 2 * t - 1)


CURVES: dict[str, Curve] = {"linear": linear, "bezier": bezier, "chain": chain}
TRAINED = ("bezier", "chain")  # those whose middle is found by training


def point(
    curve: Curve,
    t: float,
    first: Mapping[str, Tensor],
    middle: Mapping[str, Tensor],
    last: Mapping[str, Tensor],
) -> dict[str, Tensor]:
    """The weights at t, by name; those of the first and of the last at t = 0 and t = 1, to the bit."""
    a, b, c = curve(t)
    return {name: a * first[name] + b * middle[name] + c * last[name] for name in first}
