"""What a search tries: the values of each setting, as yaml gives them, and trials spread over them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mubench.errors import UsageError, did_you_mean

Settings = dict[str, Any]  # of a trial, by their dotted names; unlearning.lr as a share of training.lr
SHARE = "unlearning.lr"
EPOCHS = "unlearning.epochs"
PARTS = ("unlearning", "method", "adapter", "curriculum", "optimizer")  # what a search may change
KEYS = ("low", "high", "log")
STRATA = 8  # equal parts of a range, each of which the first trials visit before one comes again
GENTLER = 3  # trials more where each destroyed a model


@dataclass(frozen=True)
class Choices:
    """Some values, in no order."""

    values: tuple[Any, ...]

    @property
    def size(self) -> float:
        """How many values there are."""
        return len(self.values)

    @property
    def ends(self) -> tuple[Any, ...]:
        """Values that are all right only if the others are."""
        return self.values

    def endless(self, rng: np.random.Generator) -> Iterator[Any]:
        """All values in random order, then all in another."""
        while True:
            yield from (self.values[place] for place in rng.permutation(len(self.values)))


@dataclass(frozen=True)
class Range:
    """Every number from low to high, whole if both ends are; `log`: the same number of trials per factor."""

    low: float
    high: float
    log: bool = False

    @property
    def whole(self) -> bool:
        """Whether only whole numbers are tried."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    @property
    def size(self) -> float:
        """How many values there are; infinite unless they are whole."""
        return self.high - self.low + 1 if self.whole else math.inf

    @property
    def ends(self) -> tuple[Any, ...]:
        """Values that are all right only if the others are."""
        return self.low, self.high, self.at(0.4)

    def at(self, share: float) -> float | int:
        """The value at a share (0 to 1) of the way from low to high."""
        low, high = self.low - self.whole / 2, self.high + self.whole / 2
        if self.log:
            low, high = math.log(low), math.log(high)
        found = low + share * (high - low)
        return self.short(math.exp(found) if self.log else found)

    def short(self, value: float) -> float | int:
        """A value of the range in three digits, as people write settings."""
        rounded = round(value) if self.whole else float(f"{value:.3g}")
        return min(max(rounded, self.low), self.high)

    def endless(self, rng: np.random.Generator) -> Iterator[Any]:
        """A value out of each part of the range in random order, then again."""
        while True:
            places, within = rng.permutation(STRATA), rng.random(STRATA)
            yield from (self.at((place + part) / STRATA) for place, part in zip(places, within, strict=True))


Space = dict[str, Choices | Range]


def read(node: Mapping[str, Any]) -> Space:
    """The node `search` of a config; empty lists are left out. UsageError for no list and no range."""
    found = {name: _values(name, values) for name, values in sorted(node.items())}
    return {name: values for name, values in found.items() if values is not None}


def _values(name: str, given: Any) -> Choices | Range | None:
    if isinstance(given, Mapping):
        return _range(name, given)
    if not isinstance(given, list | tuple):
        example = "[0.1, 0.5] or {low: 0.01, high: 1.0, log: true}"
        raise UsageError(f"search.{name} is a list of values or a range, such as {example}; not '{given}'")
    for value in given:
        if not isinstance(value, bool | int | float | str) and value is not None:
            raise UsageError(f"search.{name} lists plain values, not {json.dumps(value)}")
    if len({json.dumps(value) for value in given}) < len(given):
        raise UsageError(f"search.{name} lists a value twice: {json.dumps(given)}")
    return Choices(tuple(given)) if given else None


def _range(name: str, given: Mapping[str, Any]) -> Range:
    where = f"search.{name}"
    for key in given:
        if key not in KEYS:
            raise UsageError(f"{where}: a range has {', '.join(KEYS)}; not '{key}'.{did_you_mean(key, KEYS)}")
    for key in ("low", "high"):
        value = given.get(key)
        if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
            raise UsageError(f"{where}: '{key}' is a number; not '{value}'")
    log = given.get("log", False)
    if not isinstance(log, bool):
        raise UsageError(f"{where}: 'log' is true or false; not '{log}'")
    low, high = given["low"], given["high"]
    if not low < high:
        raise UsageError(f"{where}: low must be below high, not {low:g} and {high:g}")
    if log and low <= 0:
        raise UsageError(f"{where}: with log=true low must be above 0, not {low:g}")
    return Range(low, high, log)


def size(space: Space) -> float:
    """How many different trials there are, the one that changes nothing among them; 0 for no settings."""
    return math.prod(values.size for values in space.values()) + 1 if space else 0


def spread(space: Space, count: int) -> list[Settings]:
    """`count` different trials, or as many as there are; the first changes nothing.

    Each setting's values come in random order, all of them before one comes again. A longer list begins as
    a shorter one.
    """
    rng = np.random.default_rng(0)
    found: list[Settings] = [{}] if space else []
    draws = {name: values.endless(rng) for name, values in space.items()}
    while len(found) < min(count, size(space)):
        trial = {name: next(values) for name, values in draws.items()}
        found += [trial] if trial not in found else []
    return found


def gentler(trial: Settings, forgets: bool) -> list[Settings]:
    """What is tried where every trial destroyed a model, the best of them being this one.

    A method that works on D_f goes less far at a lower rate; one that damages the weights and trains them on
    D_r again recovers by more passes.
    """
    if SHARE not in trial:
        return []
    if forgets:
        return [{**trial, SHARE: float(f"{trial[SHARE] / 4**power:.3g}")} for power in range(1, 1 + GENTLER)]
    if EPOCHS not in trial:
        return []
    return [{**trial, EPOCHS: int(trial[EPOCHS]) * 2**power} for power in range(1, 1 + GENTLER)]


def typed(trial: Settings) -> list[str]:
    """A trial as overrides of `mubench run`."""
    return [
        f"{name}={_share(value)}" if name == SHARE else f"{name}={json.dumps(value)}"
        for name, value in trial.items()
    ]


def _share(value: float) -> str:
    return f"'${{mul:${{training.lr}},{value}}}'"


def described(trial: Settings) -> str:
    """A trial in words."""
    words = {SHARE: "{} of the training rate", EPOCHS: "{} epochs"}
    return ", ".join(
        words[name].format(value) if name in words else f"{name.removeprefix('method.')} {value}"
        for name, value in trial.items()
    )


def ordered(names: Sequence[str]) -> list[str]:
    """Names as recipes show them: rate, epochs, then the method's own."""
    return sorted(names, key=lambda name: (name.startswith("method."), name != SHARE, name))
