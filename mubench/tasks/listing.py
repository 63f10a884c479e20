"""Folders of many pictures or clips, searched for what is missing."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from mubench.errors import UsageError


def check_files(task: str, split: str, rows: Iterable[Iterable[str | Path]], what: str) -> None:
    """UsageError naming the first row that lacks a file, before hours go into decoding the others."""
    for number, paths in enumerate(rows):
        for path in paths:
            if not os.path.exists(path):  # noqa: PTH110 - 200,000 Path objects take a second
                raise UsageError(f"{task}: row {number} of {split}: there is no {what} {path}")
