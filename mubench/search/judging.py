"""How the runs of a trial are judged: as a distance from the retrained models."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Any

from mubench.records import Record

Values = Mapping[str, Any]
SCORES = ("accuracy", "token_accuracy")  # the first that a task has counts beside the loss
FLOOR = 1e-3  # a loss below this is as good as none
NEAR = 0.5  # least distance of log losses that counts as a whole way
POINTS = 0.1  # of accuracy: the least distance that counts as a whole way
TOLERATED = 0.03  # accuracy that unlearning may cost
TOLERATED_LOSS = 1.25  # where there is no accuracy: how often as large the loss may be
DESTROYED = 10.0  # added to the score of a trial that costs more


def judged(records: Sequence[Record]) -> float:
    """The distance (at least 0, lower is better) of a task's runs from their retrained models."""
    apart = mean(map(distance, records))
    return apart + DESTROYED if math.isfinite(apart) and destroyed(records) else apart


def at_least(done: Sequence[Sequence[Record]], wanted: Sequence[int]) -> float:
    """What a trial's score cannot fall below, by the runs so far of each task and how many there will be.

    Distances are never negative, so the missing ones add nothing; whether a task's models are destroyed is
    known once all its runs are there.
    """
    known = [
        judged(records) if len(records) == count else sum(map(distance, records)) / count
        for records, count in zip(done, wanted, strict=True)
    ]
    return mean(known)


def distance(record: Record) -> float:
    """On D_f the part of the way from the original that is missing or too much; on validation what is lost.

    Losses are compared by their logarithms. A way below `NEAR` or `POINTS` is noise and counts as that.
    """
    original, goal, found = roles(record)
    score = score_of(found)
    way = max(abs(_log(original, "forget") - _log(goal, "forget")), NEAR)
    forget = [abs(_log(found, "forget") - _log(goal, "forget")) / way]
    lost = [max(0.0, _log(found, "validation") - _log(goal, "validation"))]
    if score:
        known, wanted, now = (values[f"forget_{score}"] for values in (original, goal, found))
        forget.append(abs(now - wanted) / max(abs(known - wanted), POINTS))
        lost.append(max(0.0, goal[f"validation_{score}"] - found[f"validation_{score}"]) / POINTS)
    return mean(forget) + mean(lost)


def destroyed(records: Sequence[Record]) -> bool:
    """Whether on validation the unlearned models are much worse than both models they lie between."""
    original, goal, found = (means(models) for models in zip(*map(roles, records), strict=True))
    if score := score_of(found):
        name = f"validation_{score}"
        return bool(found[name] < min(original[name], goal[name]) - TOLERATED)
    worst = max(original["validation_loss"], goal["validation_loss"])
    return bool(found["validation_loss"] > TOLERATED_LOSS * worst)


def roles(record: Record) -> tuple[Values, Values, Values]:
    """Values of the original, the retrained and the unlearned model."""
    found = [record.metrics[role] for role in ("original", "retrained", "unlearned")]
    first, second, third = (values or {} for values in found)
    return first, second, third


def score_of(values: Values) -> str | None:
    """The accuracy that a task has."""
    return next((name for name in SCORES if values.get(f"validation_{name}") is not None), None)


def _log(values: Values, split: str) -> float:
    loss = values[f"{split}_loss"]
    return math.inf if loss is None else math.log(loss + FLOOR)


def means(models: Sequence[Values]) -> dict[str, float]:
    """The mean of each value over models; a value that one of them lacks is left out."""
    return {
        name: mean(values[name] for values in models)
        for name in models[0]
        if all(values.get(name) is not None for values in models)
    }
