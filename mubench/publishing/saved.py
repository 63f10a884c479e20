"""A run that kept its model, and the files of it that others may have."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from mubench import records
from mubench.errors import UsageError
from mubench.records import Record
from mubench.submissions.public import public

KEPT = "model/"  # where a run's weights lie


@dataclass(frozen=True)
class Saved:
    """A run's record without what is private, and where its weights are."""

    record: Record
    weights: dict[str, Path]  # by the name that they get

    def described(self) -> dict[str, bytes]:
        """What goes with the weights beside the card: the run's settings, and its numbers."""
        text = json.dumps(self.record.__dict__, indent=1, allow_nan=False) + "\n"
        return {"config.yaml": OmegaConf.to_yaml(self.record.config).encode(), "record.json": text.encode()}


def read(folder: Path) -> Saved:
    """The run in a directory; UsageError if it is not complete, or kept no weights."""
    record = records.complete(folder)
    names = [name for name in record.files if name.startswith(KEPT)]
    if not names:
        typed = " ".join(record.overrides)
        raise UsageError(f"{folder} kept no model; repeat it: mubench run {typed} save_model=true force=true")
    weights = {name.removeprefix(KEPT): folder / name for name in sorted(names)}
    return Saved(_public(record), weights)


def _public(record: Record) -> Record:
    content: dict[str, Any] = public(record)[0]
    return Record(**content)
