"""From a metric's values on original and retrained models: how well it tells them apart, how stable it is.

The area under the ROC curve over a pool of models with and one without the knowledge is the faithfulness of
Dorna et al., 2025 (OpenUnlearning, arXiv:2506.12618).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mubench.metrics import Goal
from mubench.statistics.separation import auc, interval

TRAINED = "trained"  # the state of models to which nothing was done
ROLES = ("original", "retrained")
Values = Sequence[float | None]
Figures = dict[str, float | None]


@dataclass(frozen=True)
class Readings:
    """What a metric says of N originals and N retrained models; NaN where it says nothing.

    `away` is the distance from the metric's goal, less is better: (1, N), or (1 + N, N) where it depends on
    the retrained model that is compared with. That is the run's own in the first row, then each of the N in
    turn: models of its number are left out of that row.
    """

    values: Mapping[str, np.ndarray]  # (N,) by role
    away: Mapping[str, np.ndarray]  # by role
    alone: bool = True  # the values do not depend on what they are compared with


def absolute(goal: Goal, values: Mapping[str, Values], reference: float | None) -> Readings:
    """Readings of a value that each model has by itself; `reference` is that of the run's retrained model."""
    own = {role: np.array(some, dtype=np.float64) for role, some in values.items()}
    if goal == "match":
        goals = np.append(np.array([reference], dtype=np.float64), own["retrained"])
        return Readings(own, {role: np.abs(some - goals[:, None]) for role, some in own.items()})
    sign = 1 if goal == "lower" else -1
    return Readings(own, {role: sign * some[None] for role, some in own.items()})


def relative(goal: Goal, values: Mapping[str, Sequence[Values]]) -> Readings:
    """Readings of a value that compares two models: by role (1 + N, N), a row for each retrained model.

    One that should match is a distance: it should be 0.
    """
    all_of = {role: np.array(some, dtype=np.float64) for role, some in values.items()}
    first, sign = {role: some[0] for role, some in all_of.items()}, 1 if goal == "lower" else -1
    away = {role: np.abs(some) if goal == "match" else sign * some for role, some in all_of.items()}
    return Readings(first, away, alone=False)


def figures(states: Mapping[str, Readings]) -> Figures:
    """What a metric is worth, from its readings by state; None where it says nothing of some model.

    auc, low, high: the share of pairs in which the original is further from the goal than the retrained
    model, the mean over models to compare with, and its interval. raw: the share by the value alone, either
    way round: .5 to 1; None where the value itself compares. For each other state `<state>_auc`,
    `<state>_raw`, and `<state>_moves`: the mean distance by which it moves the value, in standard
    deviations of the values of all models as trained.
    """
    found: Figures = {}
    for state, readings in states.items():
        start = "" if state == TRAINED else f"{state}_"
        area, count = _area(readings.away), len(readings.values["original"])
        found |= {f"{start}auc": area, f"{start}raw": _raw(readings)}
        if state == TRAINED:
            found["low"], found["high"] = (None, None) if area is None else interval(area, count, count)
        else:
            found[f"{start}moves"] = _moves(states[TRAINED], readings)
    return found


def _area(away: Mapping[str, np.ndarray]) -> float | None:
    """The mean over rows of the area within each."""
    original, retrained = (away[role] for role in ROLES)
    counted = np.ones(original.shape, dtype=bool)
    counted[np.arange(1, len(original)), np.arange(len(original) - 1)] = False
    if np.isnan(original[counted]).any() or np.isnan(retrained[counted]).any():
        return None
    rows = zip(original, retrained, counted, strict=True)
    return float(np.mean([auc(first[some], second[some]) for first, second, some in rows]))


def _raw(readings: Readings) -> float | None:
    original, retrained = (readings.values[role] for role in ROLES)
    if not readings.alone or np.isnan(original).any() or np.isnan(retrained).any():
        return None
    return max(area := auc(original, retrained), 1 - area)


def _moves(before: Readings, after: Readings) -> float | None:
    first, second = (
        np.concatenate([one.values[role] for role in sorted(one.values)]) for one in (before, after)
    )
    if np.isnan(first).any() or np.isnan(second).any() or not (spread := float(first.std(ddof=1))):
        return None
    return float(np.abs(second - first).mean() / spread)
