"""Which trial comes next: the first ones spread over the space, the others by what was learnt from them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import optuna
from optuna.samplers import TPESampler
from optuna.trial import FrozenTrial

from mubench.search.space import Choices, Range, Settings, Space, size, spread
from mubench.search.study import distributions

SPREAD = 10  # trials that are spread over the space before anything is learnt from them
DRAWS = 64  # of a trial that was not there before
LISTED = 100_000  # a space of at most so many trials is gone through for those that are left


def proposed(
    space: Space, place: int, earlier: Sequence[Settings], frozen: Sequence[FrozenTrial]
) -> Settings:
    """The trial at a place (from 0) of the budget; depends on nothing but its arguments.

    `earlier`: those before it; `frozen`: the same with what is known of their scores.
    """
    if place < SPREAD:
        return spread(space, place + 1)[place]
    # Drawn in memory: what is drawn twice leaves no trace in the journal.
    sampler = TPESampler(multivariate=True, constant_liar=True, n_startup_trials=1, seed=place)
    study = optuna.create_study(sampler=sampler)
    study.add_trials(frozen)
    for _ in range(DRAWS):
        drawn = _short(study.ask(distributions(space)).params, space)
        if drawn not in earlier:
            return drawn
    return _untried(space, place, earlier) or drawn


def _short(drawn: Settings, space: Space) -> Settings:
    """Numbers of ranges in three digits."""
    ranges = {name: values for name, values in space.items() if isinstance(values, Range)}
    return {
        name: ranges[name].short(value) if name in ranges else value for name, value in sorted(drawn.items())
    }


def _untried(space: Space, place: int, earlier: Sequence[Settings]) -> Settings | None:
    """Any of the trials that are left of a small space."""
    if not math.isfinite(size(space)) or size(space) > LISTED:
        return None
    lists = [_listed(values) for values in space.values()]
    every = [dict(zip(space, values, strict=True)) for values in itertools.product(*lists)]
    left = [trial for trial in every if trial not in earlier]
    return left[np.random.default_rng(place).integers(len(left))] if left else None


def _listed(values: Choices | Range) -> Sequence[int | float | str]:
    if isinstance(values, Choices):
        return values.values
    return range(int(values.low), int(values.high) + 1)
