"""Assignments done in another process than the command's: composed anew from what was typed."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mubench import catalog, jobs, records
from mubench.config import RunConfig
from mubench.errors import NotApplicable, RunFailed, UsageError, unexpected
from mubench.files import Corrupt
from mubench.jobs import note_error
from mubench.launching.assignments import Assignment
from mubench.launching.attempts import attempt
from mubench.launching.base import Failure
from mubench.launching.preparing import prepare
from mubench.plan import Planner
from mubench.records import Record

# Errors by the names that they have between processes.
KINDS: dict[str, type[UsageError] | type[RunFailed]] = {
    "n/a": NotApplicable, "usage": UsageError, "failed": RunFailed,
}  # fmt: skip


def planner_of(config_dirs: Sequence[str]) -> Planner:
    """A planner as the command's was, with the user's folders importable again."""
    sys.path += [folder for folder in config_dirs if folder not in sys.path]
    return Planner(catalog.config_dirs(config_dirs))


def own_dirs(planner: Planner) -> list[str]:
    """The folders that a user named by --config-dir."""
    others = catalog.config_dirs()
    return [str(folder) for folder in planner.dirs if folder not in others]


def carry_out(piece: Assignment, planner: Planner) -> Failure | None:
    """Do an assignment; why it failed, None where all went well. A run that leaves no record is noted."""
    failure = _guarded(piece, planner)
    if not piece.models:
        unrecorded = failure is not None and _record(Path(piece.run_dir)) is None
        note_error(Path(piece.run_dir), told(failure) if unrecorded else None)
    return failure


def _guarded(piece: Assignment, planner: Planner) -> Failure | None:
    try:
        cell = planner.cell(piece.overrides)
        if str(cell.run_dir) != piece.run_dir:
            raise RunFailed(f"its settings changed since it was planned: it is {cell.run_dir} by now")
        if not piece.models:
            return attempt(cell, planner)
        prepare(cell, {Path(folder) for folder in piece.models})
    except Exception as error:
        return error if isinstance(error, UsageError | RunFailed) else unexpected(error)
    return None


def ended(cell: RunConfig) -> Failure | None:
    """What became of a run that another process was told to do, by what it left."""
    record, job = _record(cell.run_dir), jobs.of(cell.run_dir)
    if record is not None and record.complete:
        return None
    if record is not None:
        return RunFailed(record.error or record.status)
    if job is not None and job.error is not None:
        return untold(job.error)
    where = f" (see {job.log})" if job is not None else ""
    return RunFailed(f"its job ended before it did{where}; the same command goes on")


def _record(run_dir: Path) -> Record | None:
    try:
        return records.read(run_dir)
    except Corrupt:
        return None


def packed(piece: Assignment) -> dict[str, Any]:
    """An assignment as JSON can hold it."""
    return asdict(piece)


def unpacked(content: Mapping[str, Any]) -> Assignment:
    """The assignment that `packed` packed."""
    lists = {name: tuple(content[name]) for name in ("overrides", "models", "after", "behind")}
    return Assignment(run_dir=content["run_dir"], **lists)


def told(failure: Failure | None) -> dict[str, str] | None:
    """An error as JSON can hold it."""
    if failure is None:
        return None
    kind = next(name for name, error in KINDS.items() if isinstance(failure, error))
    return {"kind": kind, "sentence": str(failure)}


def untold(content: Mapping[str, str] | None) -> Failure | None:
    """The error that `told` told."""
    return None if content is None else KINDS[content["kind"]](content["sentence"])
