"""A sweep cut into pieces for other processes: shared models first, then the runs that need them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from mubench.config import RunConfig, model_lock, run_lock
from mubench.files import held
from mubench.report.plan import shared_models


@dataclass(frozen=True)
class Assignment:
    """One run, or the training of models that several runs share: all that another process needs to know."""

    overrides: tuple[str, ...]  # of the run, as composed
    run_dir: str
    models: tuple[str, ...] = ()  # folders of the models to train; none: do the run
    after: tuple[int, ...] = ()  # places in the list of assignments that this one waits for
    behind: tuple[str, ...] = ()  # numbers of jobs of other sweeps that it waits for

    @property
    def title(self) -> str:
        """The work in a few words."""
        return f"models {', '.join(self.models)}" if self.models else self.run_dir

    @property
    def elsewhere(self) -> bool:
        """Whether another process is at it: then other pieces had better be done before."""
        locks = [model_lock(Path(folder)) for folder in self.models]
        return any(map(held, locks or [run_lock(Path(self.run_dir))]))


def spread(cells: Sequence[RunConfig], underway: Mapping[str, str] | None = None) -> list[Assignment]:
    """An assignment for each run, behind one for each cell that is the first to need models of others' too.

    A model that only one run needs is trained by that run, one that is `underway` (absolute folder to number)
    by the job of that number.
    """
    missing = [shared_models([cell]) for cell in cells]
    jobs = _trained(chain.from_iterable(missing), underway or {})
    needed = Counter(folder for folder in chain.from_iterable(missing) if folder not in jobs)
    owner: dict[str, int] = {}
    preparing: list[Assignment] = []
    for cell, folders in zip(cells, missing, strict=True):
        mine = tuple(folder for folder in folders if needed[folder] > 1 and folder not in owner)
        if mine:
            owner |= dict.fromkeys(mine, len(preparing))
            preparing.append(Assignment(cell.overrides, str(cell.run_dir), mine))
    runs = [
        Assignment(
            cell.overrides,
            str(cell.run_dir),
            after=tuple(sorted({owner[f] for f in folders if f in owner})),
            behind=tuple(sorted({jobs[f] for f in folders if f in jobs})),
        )
        for cell, folders in zip(cells, missing, strict=True)
    ]
    return preparing + runs


def _trained(folders: Iterable[str], underway: Mapping[str, str]) -> dict[str, str]:
    """Those of the folders that are underway, as they are named here, with their jobs' numbers."""
    places = {folder: str(Path(folder).resolve()) for folder in folders}
    return {folder: underway[place] for folder, place in places.items() if place in underway}
