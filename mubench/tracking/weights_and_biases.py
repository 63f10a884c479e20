"""Weights & Biases: told of a run while it works, on its server or in a folder that is uploaded later."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mubench.errors import UsageError
from mubench.extras import need
from mubench.progress import Reporter
from mubench.records import Record
from mubench.schema import one_of, within
from mubench.tracking.apart import Apart
from mubench.tracking.base import Tracker

LONGEST_TAG = 64  # characters that W&B takes


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
        self._apart: Apart | None = None
        self._reporter = Reporter(quiet=True)

    def check(self) -> None:
        """UsageError without the package."""
        need("tracking=wandb", "wandb", extra="wandb")

    def start(self, record: Record, folder: Path, reporter: Reporter) -> None:
        """Begin the W&B run; nobody waits for it."""
        self._apart, self._reporter = Apart(), reporter
        self._apart.tell("begin", settings=asdict(self), record=asdict(record), folder=str(folder))

    def epoch(self, line: Mapping[str, Any]) -> None:
        """A point of a stage's curves."""
        if self._apart is not None:
            self._apart.tell("epoch", line=dict(line))
            self._say(self._apart)

    def finish(self, record: Record, folder: Path) -> None:
        """Final numbers, tables and files; TimeoutError where W&B is slower than it may be."""
        if self._apart is not None:
            self._apart.tell("finish")
            self._say(self._apart, "finish", 2 * self.patience)  # to begin, if it still does, and to end
            self._apart.wait()
            self._apart = None

    def stop(self) -> None:
        """End without a record; W&B writes by itself what it was told."""
        if self._apart is not None:
            self._apart.leave()
            self._apart = None

    def _say(self, apart: Apart, act: str | None = None, seconds: float = 0.0) -> None:
        for kind, text in apart.heard(act, seconds):
            (self._reporter.warn if kind == "warned" else self._reporter.say)(text)
