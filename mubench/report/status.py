"""Where a run stands, in a word and a sentence."""

from __future__ import annotations

from pathlib import Path

from filelock import FileLock, Timeout

from mubench import jobs
from mubench.index import Brief


def state(run: Brief) -> tuple[str, str]:
    """(complete | failed | diverged | corrupt | running | not begun | unfinished, why)."""
    if run.status is not None:
        return run.status, run.error or ""
    if _held(run.folder / ".lock"):
        return "running", ""
    if jobs.of(run.folder) is not None and not (run.folder / "config.yaml").exists():
        return "not begun", ""
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
