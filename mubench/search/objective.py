"""What a trial is worth: its runs, one after another, until it is known that it cannot win."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from mubench.config import RunConfig
from mubench.errors import Diverged, UsageError
from mubench.experiment import run
from mubench.plan import Planner
from mubench.progress import Reporter
from mubench.records import Record
from mubench.search.judging import at_least
from mubench.search.space import Settings, typed
from mubench.search.study import Outcome

Keyed = TypeVar("Keyed", Record, RunConfig)
COSTS = ("unlearn_seconds", "evaluate_seconds")  # of a run; models that all methods share are not counted


@dataclass(frozen=True)
class Objective:
    """The runs of the method as it is; a trial's are the same with its settings."""

    planner: Planner
    cells: tuple[RunConfig, ...]

    @cached_property
    def tasks(self) -> list[str]:
        """The tasks in their order, each once."""
        return list(dict.fromkeys(cell.key["task"] for cell in self.cells))

    def cells_of(self, settings: Settings) -> list[RunConfig]:
        """A trial's runs; UsageError for settings that do not go together."""
        if not settings:
            return list(self.cells)
        words = typed(settings)
        return [self.planner.cells([*cell.overrides, *words], multirun=False)[0] for cell in self.cells]

    def records(self, settings: Settings) -> list[list[Record]]:
        """The records of a trial that is complete, by task; runs that are there are read."""
        return list(self._by_task([run(cell, Reporter(quiet=True)) for cell in self.cells_of(settings)]))

    def outcome(self, settings: Settings, best: float) -> Outcome:
        """How a trial ends; `best`: the lowest score so far. RunFailed for what has nothing to do with it."""
        try:
            cells = self.cells_of(settings)
        except UsageError as error:
            return Outcome("failed", math.inf, 0, 0.0, str(error))
        done: list[Record] = []
        seconds, bound = 0.0, 0.0
        for cell in cells:
            started = time.perf_counter()
            try:
                done.append(run(cell, Reporter(quiet=True)))
            except Diverged as error:
                wasted = time.perf_counter() - started
                return Outcome("failed", math.inf, len(done), seconds + wasted, str(error))
            seconds += sum(done[-1].cost.get(name) or 0.0 for name in COSTS)
            bound = at_least(self._by_task(done), [len(some) for some in self._by_task(cells)])
            if not math.isfinite(bound):
                return Outcome("failed", bound, len(done), seconds, "a loss is not finite")
            if bound > best and len(done) < len(cells):
                return Outcome("pruned", bound, len(done), seconds)
        return Outcome("complete", bound, len(done), seconds)

    def _by_task(self, found: Sequence[Keyed]) -> list[list[Keyed]]:
        return [[one for one in found if one.key["task"] == task] for task in self.tasks]
