"""One run after another in this process."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from mubench import failing
from mubench.errors import NotApplicable
from mubench.launching.attempts import attempt
from mubench.launching.base import Errand, Launcher, Outcome


@dataclass
class Sequential(Launcher):
    """Runs share what a process keeps of them: imports, data, original models."""

    name: str = "sequential"

    def launch(self, errand: Errand) -> list[Outcome]:
        """All runs in their order; in a sweep a failure is told at once, and the others go on.

        Unless it cost one of the processes that share the runs: the rest can do nothing without it.
        """
        outcomes: list[Outcome] = []
        for cell in errand.cells:
            failure = attempt(cell, errand.planner)
            if failure and failing.parted():
                raise failure
            outcomes.append((cell, failure))
            if errand.multirun and failure and not isinstance(failure, NotApplicable):
                print(f"mubench: {failure}", file=sys.stderr)
        return outcomes
