"""Equal-budget search of a method's settings: which trials there are, and how their runs are judged."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from statistics import mean
from typing import Any

import numpy as np

from mubench.records import Record

Trial = dict[str, Any]  # settings by their dotted names; unlearning.lr as a share of training.lr
Values = Mapping[str, Any]
SHARE = "unlearning.lr"
EPOCHS = "unlearning.epochs"
SCORES = ("accuracy", "token_accuracy")  # the first that a task has counts beside the loss
FLOOR = 1e-3  # a loss below this is as good as none
NEAR = 0.5  # least distance of log losses that counts as a whole way
POINTS = 0.1  # of accuracy: the least distance that counts as a whole way
TOLERATED = 0.03  # accuracy that unlearning may cost
TOLERATED_LOSS = 1.25  # where there is no accuracy: how often as large the loss may be
DESTROYED = 10.0  # added to the score of a trial that costs more
GENTLER = 3  # trials more where each destroyed a model


def judged(records: Sequence[Record]) -> float:
    """The distance (at least 0, lower is better) of a task's runs from their retrained models."""
    return mean(map(distance, records)) + (DESTROYED if destroyed(records) else 0.0)


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
    """The mean of each value over models; a value that the first lacks is left out."""
    return {
        name: mean(values[name] for values in models) for name in models[0] if models[0][name] is not None
    }


def trials(space: Mapping[str, Sequence[Any]], count: int) -> list[Trial]:
    """`count` different trials, or as many as there are; the first changes nothing.

    Each setting's values come in random order, all of them before one comes again.
    """
    rng = np.random.default_rng(0)
    searched = {name: list(values) for name, values in sorted(space.items()) if values}
    most = math.prod(map(len, searched.values())) + 1 if searched else 0
    found: list[Trial] = [{}] if searched else []
    draws = {name: _endless(values, rng) for name, values in searched.items()}
    while len(found) < min(count, most):
        trial = {name: next(values) for name, values in draws.items()}
        found += [trial] if trial not in found else []
    return found


def gentler(trial: Trial, forgets: bool) -> list[Trial]:
    """What is tried where every trial destroyed a model, the best of them being this one.

    A method that works on D_f goes less far at a lower rate; one that damages the weights and trains them on
    D_r again recovers by more passes.
    """
    if SHARE not in trial:
        return []
    if forgets:
        return [{**trial, SHARE: float(f"{trial[SHARE] / 4**power:.3g}")} for power in range(1, 1 + GENTLER)]
    return [{**trial, EPOCHS: int(trial[EPOCHS]) * 2**power} for power in range(1, 1 + GENTLER)]


def _endless(values: Sequence[Any], rng: np.random.Generator) -> Iterator[Any]:
    while True:
        yield from (values[place] for place in rng.permutation(len(values)))


def typed(trial: Trial) -> list[str]:
    """A trial as overrides of `mubench run`."""
    return [
        f"{name}='${{mul:${{training.lr}},{value}}}'" if name == SHARE else f"{name}={json.dumps(value)}"
        for name, value in trial.items()
    ]
