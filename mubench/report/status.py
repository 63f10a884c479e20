"""Where a run stands, in a word and a sentence."""

from __future__ import annotations

from mubench import jobs
from mubench.config import run_lock
from mubench.files import held
from mubench.index import Brief


def state(run: Brief) -> tuple[str, str]:
    """(complete | failed | diverged | corrupt | running | not begun | unfinished, why)."""
    if run.status is not None:
        return run.status, run.error or ""
    if held(run_lock(run.folder)):
        return "running", ""
    if jobs.of(run.folder) is not None and not (run.folder / "config.yaml").exists():
        return "not begun", ""
    return "unfinished", "interrupted; the same command goes on"
