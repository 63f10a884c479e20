"""Robustness of the forgetting: what attacks bring back, read off the curves that they leave.

Each is computed for the retrained model too: what an attack finds there is no trace of D_f. The score of a
task is the accuracy of its classes, or the token accuracy of its labels; pictures have neither, and their
score is the loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Literal

import numpy as np

from mubench.metrics.base import Goal, Unavailable, View, metric

TOLERANCE = 0.05  # of the original's score: as good as the original
SCORES = ("accuracy", "token_accuracy", "loss")
SOURCES = ("forget", "retain", "test", "corrupted")  # of examples to relearn from
BITS = (8, 4)
SPLITS = ("forget", "retain", "test")
Columns = dict[str, np.ndarray]


def score(columns: Columns, split: str) -> tuple[np.ndarray, bool]:
    """The score (P,) on a split along a curve, and whether more of it is better."""
    name = next((name for name in SCORES if f"{split}_{name}" in columns), "score")
    return column(columns, f"{split}_{name}"), name != "loss"


def column(columns: Columns, name: str) -> np.ndarray:
    """One column (P,) whose numbers are all finite; Unavailable otherwise."""
    if name not in columns:
        raise Unavailable(f"the curve has no {name}")
    bad = np.count_nonzero(~np.isfinite(columns[name]))
    if bad:
        raise Unavailable(f"{name} is not finite at {bad} of {len(columns[name])} points of the curve")
    return columns[name]


def as_good(values: np.ndarray, best: float, higher: bool) -> np.ndarray:
    """Which values (P,) come within 5 % of the best one, or go beyond it."""
    return values >= best * (1 - TOLERANCE) if higher else values <= best * (1 + TOLERANCE)


def barrier(t: Sequence[float], values: Sequence[float | None], higher: bool = False) -> float | None:
    """How far values at t rise above the chord between the ends (fall below it, where higher is better).

    At least 0; None where a value is missing.
    """
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return None
    chord = [(1 - at) * known[0] + at * known[-1] for at in t]
    above = [value - level for value, level in zip(known, chord, strict=True)]
    return max(0.0, -min(above) if higher else max(above))


def _declare_relearning(source: str) -> None:
    """Declare what relearning from one source comes to."""
    where = "half of it that was held back" if source in ("forget", "corrupted") else "D_f"

    def steps(view: View) -> float:
        columns = view.curve("relearn", source)
        values, higher = score(columns, "forget")
        first, _ = score(view.curve("relearn", source, "original"), "forget")
        reached = np.flatnonzero(as_good(values, float(first[0]), higher))
        if not len(reached):
            last = columns["steps"][-1]
            raise Unavailable(f"not within {TOLERANCE:.0%} of the original's after {last:g} steps")
        return float(columns["steps"][reached[0]])

    def end(view: View) -> dict[str, float]:
        columns = view.curve("relearn", source)
        return {
            f"relearn_{source}_score": float(score(columns, "forget")[0][-1]),
            f"relearn_{source}_loss": float(column(columns, "forget_loss")[-1]),
        }

    steps.__name__, end.__name__ = f"relearn_{source}_steps", f"relearn_{source}"
    steps.__doc__ = (
        f"Optimizer steps on {_NAMES[source]} until D_f's score is within 5 % of the original's.\n\n"
        f"Of {where}: the first point of the curve that suffices. Null where none does, as where nothing "
        "is left to bring back."
    )
    end.__doc__ = f"Score and loss of D_f after relearning from {_NAMES[source]} to the end.\n\nOf {where}."
    goals: dict[str, Goal] = {f"relearn_{source}_score": "match", f"relearn_{source}_loss": "match"}
    declare = partial(metric, reads="losses", attack="relearn", source="Siddiqui et al., 2505.22310")
    declare(goal="match")(steps)
    declare(goal=goals)(end)


_NAMES = {
    "forget": "D_f", "retain": "D_r", "test": "test data", "corrupted": "D_f under noise",
}  # fmt: skip
for _source in SOURCES:
    _declare_relearning(_source)


def _declare_rounding(bits: int) -> None:
    """Declare what is left of a model whose weights are rounded."""

    def rounded(view: View) -> dict[str, float]:
        columns = view.curve("quantise", "weights")
        at = np.flatnonzero(columns["bits"] == bits)
        if not len(at):
            raise Unavailable(f"the weights were not rounded to {bits} bits")
        found = {f"int{bits}_{split}_score": float(score(columns, split)[0][at[0]]) for split in SPLITS}
        return {**found, f"int{bits}_forget_loss": float(column(columns, "forget_loss")[at[0]])}

    rounded.__name__ = f"int{bits}"
    rounded.__doc__ = f"Scores, and the loss of D_f, with weights rounded to {bits} bits."
    goals: dict[str, Goal] = {
        f"int{bits}_forget_score": "match",
        f"int{bits}_forget_loss": "match",
        f"int{bits}_retain_score": "higher",
        f"int{bits}_test_score": "higher",
    }
    metric(goal=goals, reads="losses", attack="quantise", source="Zhang et al., 2410.16454")(rounded)


for _bits in BITS:
    _declare_rounding(_bits)


def _recognised(view: View, role: str | None = None) -> float:
    """Mean over the noise levels of the share of D_f that is still recognised."""
    columns = view.curve("noise", "forget", role)
    return float(column(columns, "recognised")[columns["sigma"] > 0].mean())


@metric(goal="match", reads="losses", attack="noise", source="Hsu et al., 2601.22359")
def noise_recognised(view: View) -> float:
    """Share of D_f recognised under Gaussian noise, mean over draws and noise levels, in [0, 1]."""
    return _recognised(view)


@metric(goal="match", needs=("retrained",), reads="losses", attack="noise", source="Hsu et al., 2601.22359")
def residual_knowledge(view: View) -> float:
    """Share of D_f recognised under noise / the retrained model's; above 1: knowledge is left.

    The paper's ratio is of one example's probabilities; this is the ratio of their means over D_f and the
    noise levels, which exists where the retrained model never recognises some example.
    """
    reference = _recognised(view, "retrained")
    if reference == 0:
        raise Unavailable("the retrained model recognises nothing of D_f under noise: no ratio to it")
    return _recognised(view) / reference


@metric(
    goal={"mix_forget_score": "match", "mix_forget_loss": "match"}, reads="losses", attack="connectivity",
    source="Wang et al., 2406.09179",
)  # fmt: skip
def mix(view: View) -> dict[str, float]:
    """Score and loss of D_f where mixing with the original has brought D_r's score back.

    Weights a w + (1 - a) w0; `mix_share` is the largest a of the grid whose score on D_r is within 5 % of
    the original's. A method that destroyed D_r is judged where it is as useful as the original.
    """
    columns = view.curve("connectivity", "original")
    retain, higher = score(columns, "retain")
    at = np.flatnonzero(as_good(retain, float(retain[-1]), higher))[0]  # t = 1 is the original itself
    return {
        "mix_forget_score": float(score(columns, "forget")[0][at]),
        "mix_forget_loss": float(column(columns, "forget_loss")[at]),
        "mix_share": float(1 - columns["t"][at]),
    }


def _declare_barrier(other: Literal["original", "retrained"], goal: Goal) -> None:
    """Declare the barrier on the straight line to another model."""

    def rise(view: View) -> dict[str, float]:
        columns, found = view.curve("connectivity", other), {}
        for split in SPLITS:
            values = column(columns, f"{split}_loss").tolist()
            height = barrier(columns["t"].tolist(), values)
            assert height is not None
            found[f"barrier_{other}_{split}"] = height
        return found

    rise.__name__ = f"barrier_{other}"
    rise.__doc__ = (
        f"How far the loss rises on the straight line to the {other} model, at least 0.\n\n"
        "Above the line between the losses at its ends. None: both lie in one valley."
    )
    goals: dict[str, Goal] = {f"barrier_{other}_{split}": goal for split in SPLITS}
    needs = ("retrained",) if other == "retrained" else ()
    metric(goal=goals, needs=needs, reads="losses", attack="connectivity",
           source="Siddiqui et al., 2505.22310; Frankle et al., 1912.05671")(rise)  # fmt: skip


_declare_barrier("original", "match")
_declare_barrier("retrained", "lower")
