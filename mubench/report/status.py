"""Where a run stands, in a word and a sentence."""

from __future__ import annotations

from pathlib import Path

from filelock import FileLock, Timeout

from mubench.files import Corrupt
from mubench.records import Record


def state(folder: Path, record: Record | Corrupt | None) -> tuple[str, str]:
    """(complete | failed | diverged | corrupt | running | unfinished, why)."""
    if isinstance(record, Corrupt):
        return "corrupt", str(record)
    if record is not None:
        return record.status, record.error or ""
    if _held(folder / ".lock"):
        return "running", ""
    return "unfinished", "interrupted; the same command goes on"


def _held(lock: Path) -> bool:
    """Whether a living process holds the run's lock."""
    if not lock.exists():
        return False
    try:
        with FileLock(lock, blocking=False):
            return False
    except Timeout:
        return True
