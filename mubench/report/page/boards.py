"""A leaderboard and a table as plain data: every number as it is printed and sorted by, every row's notes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mubench.report.layout import Cell, Layout, layouts
from mubench.report.notes import few, listed
from mubench.report.page.leaderboard import METRICS, Board, Entry, leaderboard
from mubench.report.page.remarks import Footnotes, Whose, groups_of, of_cell, of_number, of_row
from mubench.report.papers import named
from mubench.report.reference import suppressed
from mubench.report.rows import Proven, aim
from mubench.report.shape import Shape
from mubench.report.sheets import Sheet
from mubench.report.telling import told
from mubench.statistics import FEWEST

NAMED = 3  # tables of a left-out row that are named


def board(sheets: Sequence[Sheet], proven: Proven, whose: Whose) -> dict[str, Any]:
    """The leaderboard of these tables, by the metrics that any of them has."""
    found, footnotes = leaderboard(sheets, proven), Footnotes()
    metrics = [name for name in METRICS if any(name in entry.wins for entry in found.entries)]
    rows = [_entry(entry, metrics, found, footnotes, whose) for entry in found.entries]
    standing = {entry.method for entry in found.entries}
    gone = {label: reasons for label, reasons in found.left_out.items() if label not in standing}
    return {
        "columns": [named(name, aim(name), papers=False).heading for name in metrics],
        "rows": rows,
        "left_out": [{"name": label, "why": _left_out(reasons)} for label, reasons in gone.items()],
        "notes": footnotes.listed,
    }


def _entry(
    entry: Entry, metrics: Sequence[str], found: Board, footnotes: Footnotes, whose: Whose
) -> dict[str, Any]:
    silent = sum(bool(suppressed(record.reasons)) for record in entry.records)
    told = "some" if silent < len(entry.records) else "all"
    doubt = f"in {told} of its runs original and retrained model do not differ beyond noise on the forget set"
    gone = found.left_out.get(entry.method)
    return {
        "name": entry.method, "verified": entry.verified, "groups": groups_of(entry.records, whose),
        "marks": footnotes.mark(doubt if silent else None),
        "tables": entry.tables, "tables_marks": footnotes.mark(_left_out(gone) if gone else None),
        "runs": entry.runs, "seeds": entry.seeds, "seeds_marks": footnotes.mark(few(entry.seeds)),
        "wins": [entry.wins.get(name) for name in metrics],
    }  # fmt: skip


def _left_out(reasons: dict[str, list[str]]) -> str:
    """ "not counted in 2 tables: it has no … (digits · m · random 5 %, …)" """
    told = []
    for why, titles in reasons.items():
        more = f" and {len(titles) - NAMED} more" if len(titles) > NAMED else ""
        told.append(f"{why} ({', '.join(titles[:NAMED])}{more})")
    count = sum(map(len, reasons.values()))
    return f"not counted in {count} table{'' if count == 1 else 's'}: {'; '.join(told)}"


def table(sheet: Sheet, proven: Proven, whose: Whose) -> dict[str, Any]:
    """One table."""
    (layout,) = layouts([sheet], Shape(), proven)
    footnotes = Footnotes()
    below = told([sheet], bool(layout.verified), sd=False, test="t")
    below = below._replace(fewest=FEWEST)  # what is fewer stands at its row
    pairs = zip(layout.rows, sheet.rows, strict=True)
    rows = [_row(layout, row, sheet, label, footnotes, whose) for row, label in pairs]
    return {
        "title": layout.title, "columns": layout.columns, "rows": rows, "notes": footnotes.listed,
        "signs": [f"{sign} {text}" for sign, text in listed([below])],
    }  # fmt: skip


def _row(
    layout: Layout, row: str, sheet: Sheet, label: str, footnotes: Footnotes, whose: Whose
) -> dict[str, Any]:
    runs, n = sheet.rows[label], layout.n(row)
    return {
        "name": row, "verified": row in layout.verified,
        "groups": groups_of(runs.records, whose),
        "marks": footnotes.mark(*of_row(runs, whose)),
        "n": n, "n_marks": footnotes.mark(of_number(sheet, label)),
        "cells": [
            {**_cell(layout.cells.get((row, heading)), n),
             "marks": footnotes.mark(of_cell(sheet, column, label))}
            for heading, column in zip(layout.columns, sheet.columns, strict=True)
        ],
    }  # fmt: skip


def _cell(cell: Cell | None, n: int) -> dict[str, Any]:
    if cell is None:
        return {"text": "-", "value": "", "standing": ""}
    return {"text": cell.text(n), "value": cell.mean, "standing": cell.standing or ""}
