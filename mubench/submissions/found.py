"""Runs of others, as `mubench import` has left them: read by tables, never by `mubench run`.

They lie in submissions/<group>/<eight digits>/<fingerprint>/ of an outputs folder, without a config.yaml
and without the files that their records have hashes of: none of them counts as a run of one's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from mubench.files import Corrupt
from mubench.records import Outline, read, stamp_of

HOME = "submissions"
Run = TypeVar("Run", bound="tuple[Path, object]")


def submitted(out: Path) -> Iterator[tuple[Path, Outline | Corrupt]]:
    """(directory, outline) of every imported run below an outputs folder, in a stable order."""
    for path in sorted((out / HOME).glob("*/*/*/record.json")):
        stamp = stamp_of(path.parent)
        try:
            record = read(path.parent) if stamp else None
        except Corrupt as error:
            yield path.parent, error
            continue
        if record is not None and stamp is not None:
            yield path.parent, Outline.of(record, stamp)


def group_of(folder: Path) -> str | None:
    """The group whose run lies in a directory; None of a run of one's own."""
    parts = folder.parts if len(folder.parts) > 3 else folder.absolute().parts
    return parts[-3] if len(parts) > 3 and parts[-4] == HOME else None


def once(runs: Sequence[Run]) -> list[Run]:
    """The same runs without those that a complete one of the same fingerprint stands before."""
    seen: set[str] = set()
    kept: list[Run] = []
    for run in runs:
        one = run[1]
        if not isinstance(one, Outline) or not one.complete:
            kept.append(run)
        elif one.fingerprint not in seen:
            kept.append(run)
            seen.add(one.fingerprint)
    return kept
