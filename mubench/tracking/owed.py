"""What W&B does not know of finished runs yet, and how it is told: folders made, then uploaded by W&B."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mubench.config import outputs_of
from mubench.records import Record
from mubench.tracking import contents, kept
from mubench.tracking.apart import Apart
from mubench.tracking.kept import Kept
from mubench.tracking.weights_and_biases import WeightsAndBiases
from mubench.typed import component

AT_ONCE = 50  # runs handed to W&B in one go


@dataclass(frozen=True)
class Owed:
    """A finished run that W&B lacks something of."""

    folder: Path
    record: Record
    untold: bool  # its record is in no folder of W&B's yet
    unplayed: bool  # nor are its curves
    waiting: tuple[Kept, ...]  # folders of W&B's that are not uploaded, the oldest first

    def replay(self, apart: Apart, tracker: WeightsAndBiases) -> Owed:
        """Have a folder of W&B's made of what is untold; what is then to upload."""
        apart.tell("begin", settings=asdict(tracker), record=asdict(self.record), folder=str(self.folder))
        path = self.folder / kept.HISTORY
        if self.unplayed and path.is_file():
            for line in path.read_text(encoding="utf-8").splitlines():
                apart.tell("epoch", line=json.loads(line))
        apart.tell("finish")
        for _ in apart.heard("finish", 2 * tracker.patience):
            pass
        return owed(self.folder, self.record) or self


def owed(folder: Path, record: Record) -> Owed | None:
    """What W&B lacks of a finished run; None where it has all of it as it is now."""
    there = kept.of_run(outputs_of(folder, record.key), contents.run_id(record))
    notes, now = [one.note() for one in there], kept.contents_of(record, folder)
    untold = not any(note.get("record") == now["record"] for note in notes)
    unplayed = not any(note and note.get("history") == now["history"] for note in notes)
    waiting = tuple(one for one in there if not one.uploaded)
    return Owed(folder, record, untold, unplayed, waiting) if untold or waiting else None


def replayed(
    runs: Sequence[Owed], defaults: Mapping[str, Any], typed: Mapping[str, Any]
) -> Iterator[tuple[Owed, str | None]]:
    """Each run once there is nothing of it that W&B's folders lack, and what went wrong with it."""
    apart: Apart | None = None
    try:
        for run in runs:
            said = None
            if run.untold:
                apart = apart or Apart()
                try:
                    run = run.replay(apart, tracker_of(run.record, defaults, typed))
                except (RuntimeError, TimeoutError, ValueError) as error:
                    apart.kill()
                    apart, said = None, str(error)
            yield run, said
    finally:
        if apart is not None:
            apart.wait()


def tracker_of(record: Record, defaults: Mapping[str, Any], typed: Mapping[str, Any]) -> WeightsAndBiases:
    """The tracker with a run's own settings, or the defaults; what was typed counts above both."""
    own = record.config.get("tracking") or {}
    settings = own if own.get("_target_") == defaults["_target_"] else defaults
    tracker: WeightsAndBiases = component({**settings, **typed, "mode": "offline"}, "tracking")
    return tracker


def upload(runs: Sequence[Owed], typed: Mapping[str, Any]) -> Iterator[tuple[Owed, str | None]]:
    """Let W&B upload all folders: each run once that was tried, and what W&B said if it failed.

    W&B takes folders of one run in the order of their times; a later one resumes it.
    """
    for first in range(0, len(runs), AT_ONCE):
        some = runs[first : first + AT_ONCE]
        said = _sync([one.folder for run in some for one in run.waiting], typed)
        for run in some:
            yield run, None if all(one.uploaded for one in run.waiting) else said


def _sync(folders: Sequence[Path], typed: Mapping[str, Any]) -> str:
    """W&B's own tool; the last that it says."""
    elsewhere = [f"--{name}={typed[name]}" for name in ("project", "entity") if typed.get(name)]
    command = [sys.executable, "-m", "wandb", "sync", "--include-online", *elsewhere, *map(str, folders)]
    environment = {name: value for name, value in os.environ.items() if name != "WANDB_MODE"}
    environment["WANDB_DIR"] = str(folders[0].parent.parent)  # its logs, else in the working directory
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env=environment,
    )  # fmt: skip
    lines = [line.removeprefix("wandb:").strip() for line in done.stdout.splitlines()]
    return next((line for line in reversed(lines) if line), f"wandb sync ended with {done.returncode}")
