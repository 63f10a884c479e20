"""Who does a run outside of the command's own process: a note in the run's directory, which finds the log."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from mubench.environment import now
from mubench.files import Corrupt, read_json, write_json

NOTE = "job.json"


@dataclass(frozen=True)
class Job:
    """A process of a launcher that was told to do a run."""

    launcher: str  # slurm | parallel
    number: str  # of SLURM's job, such as 17_3, or of the worker
    log: Path  # what the process said; what the run itself said is in its log.txt
    told: str  # ISO 8601, UTC
    error: dict[str, str] | None = (
        None  # why it left no record of the run: kind (n/a, usage, failed), sentence
    )


def note(run_dir: Path, launcher: str, number: str, log: Path) -> None:
    """Say in a run's directory, which need not be there yet, who will do it."""
    _write(run_dir, Job(launcher, number, log, now()))


def note_error(run_dir: Path, error: dict[str, str] | None) -> None:
    """Say why a told process could not even begin the run; None: it did."""
    job = of(run_dir)
    if job is not None and job.error != error:
        _write(run_dir, replace(job, error=error))


def of(run_dir: Path) -> Job | None:
    """Who was last told to do a run; None where nobody was, or the note is not whole."""
    path = run_dir / NOTE
    try:
        content = read_json(path)
        return Job(**{**content, "log": Path(os.path.normpath(run_dir / content["log"]))})
    except (OSError, Corrupt, KeyError, TypeError):
        return None


def noted(out: Path) -> list[Path]:
    """Every run directory below `out` with a note, begun or not, sorted."""
    return sorted(path.parent for path in (out / "runs").rglob(NOTE))


def _write(run_dir: Path, job: Job) -> None:
    """The log's place is written relative to the directory: outputs may be moved."""
    write_json(run_dir / NOTE, {**asdict(job), "log": os.path.relpath(job.log, run_dir)})
