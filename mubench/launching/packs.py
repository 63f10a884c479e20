"""Assignments that one job of a cluster does in turn."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mubench.errors import RunFailed
from mubench.launching.assignments import Assignment
from mubench.launching.work import carry_out, planner_of


@dataclass(frozen=True)
class Pack:
    """What submitit carries to a node: it calls it there, again from the start where the job was requeued.

    What is complete by then is left as it is, the rest goes on from its last checkpoint.
    """

    pieces: tuple[Assignment, ...]
    places: tuple[int, ...]  # of the pieces among all assignments
    config_dirs: tuple[str, ...]  # the user's own
    number: str = ""  # of the job, once it is submitted

    @property
    def after(self) -> tuple[int, ...]:
        """Places of what has to end before."""
        return tuple(sorted({place for piece in self.pieces for place in piece.after}))

    @property
    def behind(self) -> tuple[str, ...]:
        """Numbers of other sweeps' jobs that have to end before."""
        return tuple(sorted({number for piece in self.pieces for number in piece.behind}))

    def __call__(self) -> None:
        """Do all pieces, whatever becomes of each; RunFailed if one failed, for the job's own status."""
        planner, failed = planner_of(self.config_dirs), 0
        for piece in self.pieces:
            failure = carry_out(piece, planner)
            if failure is not None:
                print(f"mubench: {piece.title}: {failure}", file=sys.stderr, flush=True)
                failed += 1
        if failed:
            raise RunFailed(f"{failed} of {len(self.pieces)} failed")

    def checkpoint(self) -> Any:
        """What the job does when it is requeued: the same (submitit calls this)."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


def packs(pieces: Sequence[Assignment], first: int, size: int, config_dirs: Sequence[str]) -> list[Pack]:
    """Pieces that wait for the same, `size` a pack; `first` is the place of the first one."""
    groups: dict[tuple[tuple[int, ...], tuple[str, ...]], list[int]] = {}
    for number, piece in enumerate(pieces):
        groups.setdefault((piece.after, piece.behind), []).append(number)
    found = []
    for group in groups.values():
        for start in range(0, len(group), size):
            taken = group[start : start + size]
            places = tuple(first + number for number in taken)
            found.append(Pack(tuple(pieces[number] for number in taken), places, tuple(config_dirs)))
    return found
