"""What the page shows, as plain data: nothing of the repeated is told twice."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mubench.environment import now, versions
from mubench.records import Record
from mubench.report.layout import Proven, Shape, layouts
from mubench.report.notes import notes
from mubench.report.page.leaderboard import METRICS, leaderboard, warnings
from mubench.report.papers import named
from mubench.report.rows import aim, value_of
from mubench.report.sheets import Sheet

Runs = Sequence[tuple[Path, Record]]
SHOWN = (
    "forget_loss",
    "forget_accuracy",
    "test_accuracy",
    "retain_accuracy",
    "mia_auc",
    "tow",
)  # in the list
GROUPS = ("original", "retrained", "unlearned", "relative")


def content(runs: Runs, sheets: Sequence[Sheet], proven: Proven, out: Path) -> dict[str, Any]:
    """All that the template writes out."""
    entries, left_out = leaderboard(sheets, proven)
    records = [record for _, record in runs]
    return {
        "made": now(), "version": versions()["mubench"],
        "counts": {
            "runs": len(runs), "methods": len({record.key["method"] for record in records}),
            "tasks": len({record.key["task"] for record in records}),
            "seeds": len({record.key["seed"]["train"] for record in records}),
        },
        "warnings": warnings(sheets, records),
        "metrics": [named(name, aim(name), papers=False).heading for name in METRICS],
        "entries": [{**asdict(one), "wins": [one.wins.get(name) for name in METRICS]} for one in entries],
        "left_out": left_out,
        "tables": [_table(sheet, proven) for sheet in sheets],
        "runs": listed(runs, out),
    }  # fmt: skip


def _table(sheet: Sheet, proven: Proven) -> dict[str, Any]:
    """One table, its cells as they are printed and as they are sorted by."""
    (layout,) = layouts([sheet], Shape(), proven)
    rows = [
        {"name": row, "verified": row in layout.verified, "n": layout.n(row),
         "cells": [_cell(layout.cells.get((row, column)), layout.n(row)) for column in layout.columns]}
        for row in layout.rows
    ]  # fmt: skip
    told = list(notes([sheet], bool(layout.verified), sd=False, test="t"))
    return {
        "title": layout.title,
        "task": sheet.place.task,
        "columns": layout.columns,
        "rows": rows,
        "notes": told,
    }


def _cell(cell: Any, n: int) -> dict[str, Any]:
    if cell is None:
        return {"text": "-", "value": "", "standing": ""}
    return {"text": cell.text(n), "value": cell.mean, "standing": cell.standing or ""}


def listed(runs: Runs, out: Path) -> dict[str, Any]:
    """Every run: a row of numbers, and its details as places in a list of values that runs share."""
    pool: dict[str, int] = {}

    def place(value: Any) -> int:
        return pool.setdefault(json.dumps(value, sort_keys=True), len(pool))

    names = list(dict.fromkeys(name for _, r in runs for g in GROUPS for name in r.metrics.get(g) or {}))
    rows = [_run(folder, record, out, names, place) for folder, record in runs]
    return {"names": names, "shown": SHOWN, "pool": [json.loads(text) for text in pool], "rows": rows}


def _run(folder: Path, record: Record, out: Path, names: Sequence[str], place: Any) -> dict[str, Any]:
    key, seed = record.key, record.key["seed"]
    ratio = "" if key["ratio"] is None else f"{key['ratio']:g} %"
    return {
        "key": [key["task"], key["model"], key["method"], f"{key['deletion']} {ratio}".strip(), seed["train"],
                seed["unlearn"]],
        "shown": [_rounded(value_of(record, name)) for name in SHOWN],
        "folder": str(folder.relative_to(out)) if folder.is_relative_to(out) else folder.name,
        "metrics": {group: [_rounded((record.metrics.get(group) or {}).get(name)) for name in names]
                    for group in GROUPS if record.metrics.get(group)},
        "config": {name: place(value) for name, value in record.config.items()},
        "cost": {name: _rounded(value) for name, value in record.cost.items()},
        "environment": place(record.environment), "forget_set": place(record.forget_set),
        "reasons": place(record.reasons), "overrides": place(record.overrides),
        "finished": record.finished, "fingerprint": record.fingerprint,
    }  # fmt: skip


def _rounded(value: Any) -> Any:
    """Six digits are more than any page shows."""
    return float(f"{value:.6g}") if isinstance(value, float) else value
