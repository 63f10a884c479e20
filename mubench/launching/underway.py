"""Shared models that jobs in a queue are to train, as the sweeps that submitted them noted."""

from __future__ import annotations

import os
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from contextlib import suppress
from pathlib import Path

from mubench.files import Corrupt, read_json, write_json

NOTE = "models.json"


def note(folder: Path, numbers: Mapping[str, str]) -> None:
    """Write into a sweep's folder which job, by its number, trains which model, by its folder."""
    write_json(
        folder / NOTE,
        {
            os.path.relpath(Path(model).resolve(), folder.resolve()): number
            for model, number in numbers.items()
        },
    )


def underway(sweeps: Path, queue: AbstractSet[str]) -> dict[str, str]:
    """The jobs of the queue that train models, by the models' absolute folders, of all sweeps there."""
    found: dict[str, str] = {}
    for path in sorted(sweeps.glob(f"*/{NOTE}")):
        with suppress(OSError, Corrupt, AttributeError, TypeError):  # a note that is not whole tells nothing
            for model, number in read_json(path).items():
                if number in queue:
                    found[str((path.parent / model).resolve())] = number
    return found
