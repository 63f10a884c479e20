"""SLURM's own commands: what is in the queue, and jobs submitted to it."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import redirect_stderr
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

from mubench.errors import UsageError
from mubench.launching.packs import Pack

POLL = 2.0  # seconds between two looks at the queue


def queued() -> set[str]:
    """The numbers of this user's jobs that wait or run, 17 or 17_3; UsageError where SLURM is down."""
    command = ["squeue", "--me", "--noheader", "--array", "--format=%i"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise UsageError(f"hydra/launcher=slurm: squeue says: {_last_line(done.stderr)}")
    return set(done.stdout.split())


def await_end(numbers: AbstractSet[str]) -> None:
    """Wait until none of these jobs is in the queue."""
    while numbers & queued():
        time.sleep(POLL)


def log(folder: Path, number: str) -> Path:
    """Where a job's output goes, with all that its runs say."""
    return folder / f"{number}_0_log.out"


def submit(packs: Sequence[Pack], folder: Path, options: Mapping[str, Any], requeues: int) -> list[Pack]:
    """Submit a job for each pack, an array for several; UsageError with what sbatch says against it."""
    from submitit import SlurmExecutor
    from submitit.core.utils import FailedJobError

    try:
        executor = SlurmExecutor(folder, max_num_timeout=requeues)
        executor.update_parameters(**options)
        with redirect_stderr(StringIO()), executor.batch():  # submitit prints what it raises
            jobs = [executor.submit(pack) for pack in packs]
    except FailedJobError as error:
        raise UsageError(f"hydra/launcher=slurm: {_last_line(str(error))}") from error
    return [replace(pack, number=job.job_id) for pack, job in zip(packs, jobs, strict=True)]


def _last_line(text: str) -> str:
    return text.strip().splitlines()[-1] if text.strip() else "nothing"
