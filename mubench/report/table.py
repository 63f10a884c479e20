"""Tables in text and JSON: mean and interval over training seeds, the best of a column and its ties."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from mubench.report.closing import ARROWS, number, print_whole
from mubench.report.notes import notes
from mubench.report.rows import Row
from mubench.report.sheets import Column, Sheet, Standing
from mubench.statistics.seeds import LEVELS, repeats

Proven = Sequence[Mapping[str, Any]]  # settings of methods that passed `mubench verify`
MARK = " ✓"  # behind the name of a method that passed `mubench verify`
MARKS: dict[Standing, str] = {"best": "*", "tied": "=", "worse": " ", "untested": "?"}


def print_tables(sheets: Sequence[Sheet], proven: Proven = (), sd: bool = False, test: str = "t") -> None:
    """One table for each task, model and deletion, then what its signs mean and what to be wary of.

    Methods with the settings in `proven` are marked; `sd` shows standard deviations in place of intervals.
    """
    for sheet in sheets:
        print_whole(_table(sheet, proven, sd))
    marked = any(verified(row, proven) for sheet in sheets for row in sheet.rows.values())
    for line in notes(sheets, marked, sd, test):
        print_whole(line)


def _table(sheet: Sheet, proven: Proven, sd: bool) -> Table:
    table = Table(title=sheet.place.title, title_justify="left")
    table.add_column("method")
    table.add_column("n", justify="right")
    for column in sheet.columns:
        table.add_column(heading(column), justify="right", no_wrap=True)
    for label, row in sheet.rows.items():
        mark = MARK if verified(row, proven) else ""
        shown = [_cell(column, label, sheet.n(label), sd) for column in sheet.columns]
        table.add_row(Text(f"{label}{mark}"), str(sheet.n(label)), *shown)
    return table


def heading(column: Column) -> str:
    """A column's name and the arrow of its goal, a word a line."""
    return f"{column.name} {ARROWS.get(column.goal or '', '')}".strip().replace("_", "\n")


def _cell(column: Column, label: str, n: int, sd: bool) -> Text:
    """Mean, ± half the interval, how many training seeds where the row has more, and the mark."""
    summary, standing = column.summaries[label], column.standing(label)
    if summary is None:
        return Text("-")
    text = number(summary.mean)
    spread = summary.sd if sd else summary.half_width
    text += f" ±{number(spread)}" if spread is not None else ""
    text += f" (n={summary.n})" if summary.n != n else ""
    if tested(column):
        text += f" {MARKS[standing] if standing else ' '}"
    elif column.best is not None:
        text += " *" if standing == "best" else "  "
    return Text(text, style="bold" if standing == "best" else "")


def tested(column: Column) -> bool:
    """Whether enough training seeds are shared for any test in the column."""
    return any(pair.adjusted is not None for pair in column.pairs.values())


def verified(row: Row, proven: Proven) -> bool:
    """Whether the method of every run of a row passed the checks, with the run's settings."""
    return row.role == "unlearned" and all(record.config.get("method") in proven for record in row.records)


def print_json(sheets: Sequence[Sheet], proven: Proven = ()) -> None:
    """The same as a list of objects, one a row."""
    listed = [
        {
            **sheet.place._asdict(),
            "method": label,
            "runs": row.runs,
            "n": sheet.n(label),
            "seeds": _seeds(row),
            "verified": verified(row, proven),
            "values": {column.name: _value(column, label, row) for column in sheet.columns},
        }
        for sheet in sheets
        for label, row in sheet.rows.items()
    ]
    print(json.dumps(listed, indent=1))


def _seeds(row: Row) -> dict[str, list[int]]:
    """The seeds of each level; a shared model has none of unlearning."""
    levels = [level for level in LEVELS if level != "unlearn" or row.role == "unlearned"]
    return {level: sorted({record.key["seed"][level] for record in row.records}) for level in levels}


def _value(column: Column, label: str, row: Row) -> dict[str, Any]:
    """Mean, interval and standard deviation over n training seeds, and the comparison with the best."""
    summary, pair = column.summaries[label], column.against_best(label)
    if summary is None:
        return {"mean": None, "n": 0, "reason": _reason(row, column.name)}
    return {
        "mean": summary.mean,
        "half_width": summary.half_width,
        "sd": summary.sd,
        "n": summary.n,
        "repeats": repeats(column.values[label]),
        "goal": column.goal,
        "standing": column.standing(label),
        "p": pair.p if pair else None,
        "p_holm": pair.adjusted if pair else None,
    }


def _reason(row: Row, name: str) -> str | None:
    """Why a quantity is null, as the first record tells that does."""
    keys = [f"{part}.{name}" for part in (row.role, "relative", "cost")]
    return next(
        (record.reasons[key] for record in row.records for key in keys if key in record.reasons), None
    )
