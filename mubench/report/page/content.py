"""What the page shows, as plain data: all tasks together, then one by one, then every run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mubench.environment import now, versions
from mubench.records import Record
from mubench.report.page.boards import board, table
from mubench.report.page.leaderboard import warnings
from mubench.report.page.pictures import Pictures
from mubench.report.page.remarks import OWN, Whose, groups_of
from mubench.report.page.runs import Runs, listed
from mubench.report.rows import Proven
from mubench.report.sheets import Sheet
from mubench.submissions.found import group_of


def content(
    runs: Runs, sheets: Sequence[Sheet], refused: Sequence[str], proven: Proven, out: Path,
    pictures: Mapping[str | None, Pictures],
) -> dict[str, Any]:  # fmt: skip
    """All that the template writes out; pictures by task, None: of all tasks together."""
    whose = _owners(runs)
    records = [record for _, record in runs]
    by_task: dict[str, list[Sheet]] = defaultdict(list)
    for sheet in sheets:
        by_task[sheet.place.task].append(sheet)
    return {
        "made": now(), "version": versions()["mubench"],
        "counts": _counts(records),
        "groups": [] if (groups := groups_of(records, whose)) == [OWN] else groups,
        "warnings": [*warnings(sheets), *refused],
        "board": board(sheets, proven, whose),
        "pictures": pictures.get(None, []),
        "tasks": [
            _task(task, some, [r for r in records if r.key["task"] == task], proven, whose,
                  pictures.get(task, []))
            for task, some in by_task.items()
        ],
        "runs": listed(runs, out, whose),
    }  # fmt: skip


def _owners(runs: Runs) -> Whose:
    """Whose a run is, by its directory."""
    groups = {record.fingerprint: group_of(folder) or OWN for folder, record in runs}
    return lambda record: groups[record.fingerprint]


def _counts(records: Sequence[Record]) -> dict[str, int]:
    return {
        "runs": len(records),
        "methods": len({record.key["method"] for record in records}),
        "tasks": len({record.key["task"] for record in records}),
        "seeds": len({record.key["seed"]["train"] for record in records}),
    }


def _task(
    task: str, sheets: Sequence[Sheet], records: Sequence[Record], proven: Proven, whose: Whose,
    pictures: Pictures,
) -> dict[str, Any]:  # fmt: skip
    """A page of one task."""
    return {
        "name": task, "counts": _counts(records), "warnings": warnings(sheets),
        "models": sorted({sheet.place.model for sheet in sheets}),
        "board": board(sheets, proven, whose),
        "tables": [table(sheet, proven, whose) for sheet in sheets],
        "pictures": pictures,
    }  # fmt: skip
