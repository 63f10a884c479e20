"""What every launcher is given, and what it gives back."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mubench.config import RunConfig
from mubench.errors import RunFailed, UsageError
from mubench.files import writing
from mubench.plan import Planner

Failure = UsageError | RunFailed
Outcome = tuple[RunConfig, Failure | None]  # the error, None where all went well


@dataclass(frozen=True)
class Errand:
    """The runs of one command."""

    planner: Planner
    cells: Sequence[RunConfig]
    multirun: bool
    folder: Path  # where a launcher keeps what it needs: logs, lists of work


class Launcher(ABC):
    """Does the runs of a command; its fields are the settings of its yaml."""

    @abstractmethod
    def launch(self, errand: Errand) -> list[Outcome] | None:
        """What became of each run, or None where others do them and the command need not wait.

        UsageError, before any work, where this machine cannot do what the settings ask for.
        """


def fresh(folder: Path) -> Path:
    """Make a folder that was not there: with a number behind its name if another command took the name."""
    numbered = (folder.with_name(f"{folder.name}-{number}") for number in itertools.count(2))
    for candidate in itertools.chain([folder], numbered):
        with writing(candidate), suppress(FileExistsError):
            candidate.mkdir(parents=True)
            return candidate
    raise AssertionError("numbers never end")
