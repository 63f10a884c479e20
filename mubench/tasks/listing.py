"""Folders of many pictures or clips: known without opening each, and searched for what is missing."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from mubench.errors import UsageError


def contents(root: Path, *texts: Path) -> str:
    """16 hexadecimal digits that name the files below a folder by name and size, some by their contents.

    Reading a part of a hundred thousand pictures would take minutes at the start of every run.
    """
    digest = hashlib.sha256()
    for folder, below, names in os.walk(root):
        below.sort()
        for name in sorted(names):
            path = Path(folder, name)
            digest.update(f"{path.relative_to(root).as_posix()} {path.stat().st_size}\n".encode())
    for path in texts:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def check_files(task: str, split: str, rows: Iterable[Iterable[str | Path]], what: str) -> None:
    """UsageError naming the first row that lacks a file, before hours go into decoding the others."""
    for number, paths in enumerate(rows):
        for path in paths:
            if not os.path.exists(path):  # noqa: PTH110 - 200,000 Path objects take a second
                raise UsageError(f"{task}: row {number} of {split}: there is no {what} {path}")
