"""One run after another in this process."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mubench import failing, processes
from mubench.config import RunConfig, run_lock
from mubench.errors import NotApplicable
from mubench.files import held
from mubench.launching.attempts import attempt
from mubench.launching.base import Errand, Failure, Launcher, Outcome


@dataclass
class Sequential(Launcher):
    """Runs share what a process keeps of them: imports, data, original models."""

    name: str = "sequential"

    def launch(self, errand: Errand) -> list[Outcome]:
        """All runs in their order; in a sweep a failure is told at once, and the others go on.

        Unless it cost one of the processes that share the runs: the rest can do nothing without it.
        """
        ended: dict[Path, Failure | None] = {}
        for cell in _in_turn(errand.cells):
            failure = ended[cell.run_dir] = attempt(cell, errand.planner)
            if failure and failing.parted():
                raise failure
            if errand.multirun and failure and not isinstance(failure, NotApplicable):
                print(f"mubench: {failure}", file=sys.stderr)
        return [(cell, ended[cell.run_dir]) for cell in errand.cells]


def _in_turn(cells: Sequence[RunConfig]) -> Iterator[RunConfig]:
    """The runs in their order, but those that another command is at when it is their turn come last.

    Several processes that share the runs keep the order: they cannot agree before they have joined.
    """
    later = []
    for cell in cells:
        if processes.count() == 1 and held(run_lock(cell.run_dir)):
            later.append(cell)
        else:
            yield cell
    yield from later
