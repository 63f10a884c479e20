"""Which runs carry the mark of `mubench verify`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import mubench
from mubench.environment import commit
from mubench.records import Outline, Record
from mubench.submissions.found import group_of
from mubench.verified import proven

if TYPE_CHECKING:
    from mubench.report.rows import Proven


def proofs(out: Path, runs: Sequence[tuple[Path, Record | Outline]]) -> Proven:
    """Whether the method of one of these runs passed every check, with the run's settings.

    What passed is the code that is here. Another group's run was made by theirs: it is marked only if its
    record names the very commit that runs here, without changes, and a method that comes with it.
    """
    passed = proven(out)
    theirs = {record.fingerprint for folder, record in runs if group_of(folder) is not None}

    def of(record: Record | Outline) -> bool:
        checked = record.config.get("method") in passed
        return checked and (record.fingerprint not in theirs or _by_this_code(record))

    return of


def _by_this_code(record: Record | Outline) -> bool:
    here, there = commit(), record.environment
    target = str(record.config["method"].get("_target_"))
    same = here is not None and (here, mubench.__version__) == (there.get("git"), there.get("mubench"))
    return same and not str(here).endswith("+dirty") and target.startswith(f"{mubench.__name__}.")
