"""Jobs of a SLURM cluster, submitted by submitit: runs, behind the shared models that they need."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mubench import jobs
from mubench.config import RunConfig
from mubench.errors import UsageError
from mubench.extras import need
from mubench.launching import cluster, underway
from mubench.launching.assignments import Assignment, spread
from mubench.launching.base import Errand, Launcher, Outcome, fresh
from mubench.launching.packs import Pack, packs
from mubench.launching.work import ended, own_dirs
from mubench.report.plan import is_complete
from mubench.schema import within

COUNTS = ("runs_per_job", "models_per_job", "jobs_at_once", "array_size", "minutes", "cpus")


@dataclass
class Slurm(Launcher):
    """The settings of slurm.yaml, where each is explained."""

    name: str = "slurm"
    runs_per_job: int = 1
    models_per_job: int = 1
    jobs_at_once: int = 256
    array_size: int = 1000
    minutes: int = 240
    memory_gb: float = 16.0
    cpus: int = 4
    gpus: int = 1
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    setup: list[str] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)
    requeues: int = 3
    warn_seconds: int = 120
    wait: bool = False

    def __post_init__(self) -> None:
        for name in COUNTS:
            within(f"hydra.launcher.{name}", getattr(self, name), 1, 1e7)
        for name in ("gpus", "requeues"):
            within(f"hydra.launcher.{name}", getattr(self, name), 0, 1e4)
        within("hydra.launcher.memory_gb", self.memory_gb, 0, 1e5, "(]")
        within("hydra.launcher.warn_seconds", self.warn_seconds, 1, 60 * self.minutes, "[)")

    def launch(self, errand: Errand) -> list[Outcome] | None:
        """Submit what is neither complete nor in the queue; what became of it if `wait` is set."""
        if shutil.which("sbatch") is None:
            raise UsageError(
                "hydra/launcher=slurm: there is no sbatch here (hydra/launcher=parallel does without)"
            )
        need("hydra/launcher=slurm", "submitit", extra="slurm")
        queue = cluster.queued()
        incomplete = [cell for cell in errand.cells if not is_complete(cell)]
        there = [cell for cell in incomplete if _number(cell) in queue]
        trained = underway.underway(errand.folder.parent, queue)
        submitted = self._submit([cell for cell in incomplete if _number(cell) not in queue], errand, trained)
        _say(
            f"{_some(len(errand.cells), 'run')}: {len(errand.cells) - len(incomplete)} complete, "
            f"{len(there)} in the queue already, {submitted}"
        )
        if not self.wait:
            _say("mubench status tells how they go; this command again submits what is missing then")
            return None
        cluster.await_end({number for cell in incomplete if (number := _number(cell))})
        return [(cell, ended(cell)) for cell in errand.cells]

    def _submit(self, cells: Sequence[RunConfig], errand: Errand, trained: Mapping[str, str]) -> str:
        """Submit the work of these cells, models apart that are `trained` already; what it was, in words."""
        if not cells:
            return "none submitted"
        pieces, dirs = spread(cells, trained), own_dirs(errand.planner)
        models = [piece for piece in pieces if piece.models]
        folder = fresh(errand.folder)
        numbers: dict[int, str] = {}  # of the jobs that train shared models, by place in `pieces`
        for pack in self._jobs(packs(models, 0, self.models_per_job, dirs), folder, ""):
            numbers |= dict.fromkeys(pack.places, pack.number)
        underway.note(folder, {f: numbers[place] for place, piece in enumerate(models) for f in piece.models})
        runs = packs(pieces[len(models) :], len(models), self.runs_per_job, dirs)
        launched = []
        for after, behind in dict.fromkeys((pack.after, pack.behind) for pack in runs):
            wanted = dict.fromkeys([*(numbers[place] for place in after), *behind])
            # A failed preparation must not leave its runs in the queue for ever: they try for themselves,
            # and their records say why it cannot be done.
            dependency = f"afterany:{':'.join(wanted)}" if wanted else ""
            alike = [pack for pack in runs if (pack.after, pack.behind) == (after, behind)]
            launched += self._jobs(alike, folder, dependency)
        for pack in launched:
            for piece in pack.pieces:
                jobs.note(Path(piece.run_dir), self.name, pack.number, cluster.log(folder, pack.number))
        return _counted(len(cells), launched, models, numbers, folder)

    def _jobs(self, wanted: Sequence[Pack], folder: Path, dependency: str) -> list[Pack]:
        """Submit packs as arrays; the same with their numbers."""
        found: list[Pack] = []
        for start in range(0, len(wanted), self.array_size):
            found += cluster.submit(
                wanted[start : start + self.array_size], folder, self._options(dependency), self.requeues
            )
        return found

    def _options(self, dependency: str) -> dict[str, Any]:
        """As submitit names them."""
        given = {
            "job_name": "mubench",
            "time": self.minutes,
            "mem": f"{int(self.memory_gb * 1024)}M",
            "cpus_per_task": self.cpus,
            # Without it srun gives a step one core, whatever the job has.
            "srun_args": [f"--cpus-per-task={self.cpus}"],
            "gpus_per_node": self.gpus or None,
            "partition": self.partition,
            "account": self.account,
            "qos": self.qos,
            "constraint": self.constraint,
            "setup": self.setup or None,
            "stderr_to_stdout": True,  # one log
            "signal_delay_s": self.warn_seconds,
            "array_parallelism": self.jobs_at_once,
            "dependency": dependency or None,
            "additional_parameters": self.options,
        }
        return {name: value for name, value in given.items() if value is not None}


def _number(cell: RunConfig) -> str | None:
    """The number of the SLURM job that was last told to do a run."""
    job = jobs.of(cell.run_dir)
    return job.number if job is not None and job.launcher == "slurm" else None


def _counted(
    runs: int, launched: Sequence[Pack], models: Sequence[Assignment], numbers: dict[int, str], folder: Path
) -> str:
    shared = _some(sum(len(piece.models) for piece in models), "shared model")
    others = {number for pack in launched for number in pack.behind}
    before = [f"{len(set(numbers.values()))} for {shared}"] if models else []
    before += [f"{len(others)} of another sweep's"] if others else []
    behind = f" behind {' and '.join(before)}" if before else ""
    first, last = launched[0].number, launched[-1].number
    which = first if first == last else f"{first} to {last}"
    return f"{runs} submitted in {_some(len(launched), 'job')} ({which}){behind}; logs in {folder}"


def _some(count: int, thing: str) -> str:
    return f"{count} {thing}{'' if count == 1 else 's'}"


def _say(text: str) -> None:
    print(text, file=sys.stderr)
