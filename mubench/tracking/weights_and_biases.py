"""Weights & Biases: told of a run while it works, on its server or in a folder that is uploaded later."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from mubench import records
from mubench.config import outputs_of
from mubench.errors import UsageError
from mubench.extras import need
from mubench.progress import Reporter
from mubench.records import Record
from mubench.schema import one_of, within
from mubench.tracking import contents, reach
from mubench.tracking.base import Tracker
from mubench.tracking.kept import HISTORY, Kept

STAGING = "WANDB_DATA_DIR"  # the variable that W&B reads
LONGEST_TAG = 64  # characters that W&B takes
# What W&B would do beside what it is told: watch the terminal, the machine, the code and the checkout.
QUIET = {
    "silent": True, "console": "off", "disable_git": True, "disable_code": True, "save_code": False,
    "host": "", "symlink": False, "use_dot_wandb": False,
    "x_disable_stats": True, "x_disable_meta": True, "x_disable_machine_info": True,
    "x_save_requirements": False,
}  # fmt: skip


@dataclass
class WeightsAndBiases(Tracker):
    """A run of mubench as a W&B run, the same one however often it is resumed or repeated."""

    name: str = "wandb"
    project: str = "mubench"
    entity: str | None = None
    group: str | None = None
    tags: list[str] = field(default_factory=list)
    mode: str = "auto"  # online: do not ask first whether the server answers
    artifact: bool = False
    patience: float = 30.0  # seconds

    def __post_init__(self) -> None:
        one_of("tracking.mode", self.mode, ("auto", "online", "offline"))
        within("tracking.patience", self.patience, 0, 86_400, "(]")
        if wrong := [tag for tag in self.tags if not 0 < len(tag) <= LONGEST_TAG]:
            raise UsageError(f"tracking.tags: '{wrong[0]}' has not 1 to {LONGEST_TAG} characters")
        self._run: Any = None
        self._stages: set[str] = set()

    def check(self) -> None:
        """UsageError without the package."""
        need("tracking=wandb", "wandb", extra="wandb")

    def start(self, record: Record, folder: Path, reporter: Reporter) -> None:
        """Begin the W&B run; offline if that is asked for, or if the server is out of reach."""
        reach.silenced()
        why = "mode=offline" if self.mode == "offline" else reach.why_not() if self.mode == "auto" else None
        if why is None:
            why = self._go_online(record, folder, reporter)
        if why is not None:
            self.begin(record, folder, "offline")
        where = f"offline in {self.kept.folder} ({why}): mubench sync uploads it" if why else self._run.url
        reporter.say(f"  W&B: {where}")

    def _go_online(self, record: Record, folder: Path, reporter: Reporter) -> str | None:
        """Begin on the server; why not, where it fails."""
        import wandb

        try:
            wandb.login(prompt=False, verify=False)
            self.begin(record, folder, "online")
        except Exception as error:
            told = str(error).strip().splitlines() or [type(error).__name__]
            reporter.warn(f"W&B cannot be reached: {told[0]}")
            return "out of reach"
        return None

    def begin(self, record: Record, folder: Path, mode: Literal["online", "offline"]) -> None:
        """Begin the W&B run of a record."""
        import wandb

        known = wandb.Settings.model_fields  # a later W&B may have fewer
        patient = {"init_timeout": self.patience, "finish_timeout": self.patience}
        wanted: dict[str, Any] = {**QUIET, **patient, "finish_timeout_raises": True}
        out = outputs_of(folder, record.key)
        out.joinpath("wandb").mkdir(exist_ok=True)  # W&B would turn to another folder if it could not
        self._run = wandb.init(
            project=self.project,
            entity=self.entity,
            group=self.group or contents.cell(record),
            name=contents.title(record),
            job_type=record.key["method"],
            tags=list(dict.fromkeys([*contents.tags(record), *self.tags])),
            config=contents.config(record),
            id=contents.run_id(record),
            resume="allow",
            reinit="create_new",
            dir=out,
            mode=mode,
            settings=wandb.Settings(**{name: value for name, value in wanted.items() if name in known}),
        )

    @property
    def kept(self) -> Kept:
        """What W&B writes on disk."""
        return Kept(Path(self._run.dir).parent)

    def epoch(self, line: Mapping[str, Any]) -> None:
        """A point of a stage's curves, over its epochs."""
        stage = line["stage"]
        if stage not in self._stages:
            self._run.define_metric(f"{stage}/*", step_metric=f"{stage}/epoch")
            self._stages.add(stage)
        self._run.log(contents.epoch(line))

    def replay(self, folder: Path) -> None:
        """All lines of history that a run has left."""
        path = folder / HISTORY
        for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
            self.epoch(json.loads(line))

    def finish(self, record: Record, folder: Path) -> None:
        """Final numbers, tables and files; then the folder is sealed, if W&B has taken everything."""
        self._run.config.update(contents.facts(record), allow_val_change=True)
        self._run.summary.update(contents.summary(record))
        with _staging_in(outputs_of(folder, record.key) / "wandb"):
            self._tell_tables(record, folder)
            if self.artifact:
                self._tell_files(record, folder)
        kept, online = self.kept, not self._run.offline
        self._end(0 if record.complete else 1)
        if not any(kept.folder.glob("*.wandb")):
            raise RuntimeError(f"W&B has left nothing in {kept.folder}")
        kept.seal(record, folder, online)

    def stop(self) -> None:
        """End without a record."""
        if self._run is not None:
            self._end(130)

    def _end(self, status: int) -> None:
        run, self._run = self._run, None
        run.finish(exit_code=status)

    def _tell_tables(self, record: Record, folder: Path) -> None:
        import wandb

        tables = {
            "closing_table": (contents.CLOSING, contents.closing(record)),
            "curves": (contents.CURVES, contents.curves(records.curves(folder))),
        }
        for name, (columns, rows) in tables.items():
            if rows:
                self._run.log({name: wandb.Table(columns=list(columns), data=rows)})

    def _tell_files(self, record: Record, folder: Path) -> None:
        """Files as they lie in the run's directory, not copied."""
        import wandb

        files = wandb.Artifact(f"run-{contents.run_id(record)}", type="run", metadata=dict(record.key))
        for name in contents.files(record, folder):
            files.add_file(str(folder / name), name=name, policy="immutable")
        self._run.log_artifact(files)


@contextmanager
def _staging_in(folder: Path) -> Iterator[None]:
    """Inside, W&B copies what it will upload to this folder, not to the home of a user who chose none."""
    chosen = STAGING in os.environ
    os.environ.setdefault(STAGING, str(folder.absolute()))
    try:
        yield
    finally:
        if not chosen:
            del os.environ[STAGING]
