"""Tables in text and JSON: mean and interval over training seeds, the best of a column and its ties."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from mubench.report.layout import Cell, Layout, layouts
from mubench.report.printed import Printed
from mubench.report.rows import Proven, Row, nobody, reason_of, verified
from mubench.report.shape import Shape
from mubench.report.sheets import Column, Sheet, Standing
from mubench.report.telling import told
from mubench.report.terminal import captured
from mubench.statistics.seeds import LEVELS, repeats

USUAL = Shape()  # methods by metrics
MARK = " ✓"  # behind the name of a method that passed `mubench verify`
MARKS: dict[Standing, str] = {"best": "*", "tied": "=", "worse": " ", "untested": "?"}


def printed(
    sheets: Sequence[Sheet], proven: Proven = nobody, shape: Shape = USUAL, test: str = "t"
) -> Printed:
    """The tables of a shape. Rows all of whose runs are `proven` are marked."""
    found = layouts(sheets, shape, proven)
    marked = any(layout.verified for layout in found)
    return Printed(
        "".join(captured(_table(layout)) for layout in found), told(sheets, marked, shape.sd, test)
    )


def _table(layout: Layout) -> Table:
    table = Table(title=layout.title, title_justify="left", min_width=len(layout.title))
    counts = {row: layout.n(row) for row in layout.rows}
    columns = [[Text(named_row(layout, row)) for row in layout.rows], [Text(str(n)) for n in counts.values()]]
    columns += [[_cell(layout.cells.get((row, name)), n) for row, n in counts.items()]
                for name in layout.columns]  # fmt: skip
    table.add_column(layout.shape.rows)
    table.add_column("n", justify="right")
    for name in layout.columns:
        table.add_column(heading(layout, name).replace("_", "\n"), justify="right", no_wrap=True)
    if layout.rows:  # a column is one cell of many lines: rich takes ten times as long for many cells
        table.add_row(*(Text("\n").join(cells) for cells in columns))
    return table


def named_row(layout: Layout, row: str) -> str:
    """A row's name, marked if it is that of a verified method."""
    return f"{row}{MARK}" if layout.shape.rows == "method" and row in layout.verified else row


def heading(layout: Layout, column: str) -> str:
    """A column's name, marked if it is that of a verified method."""
    return f"{column}{MARK}" if layout.shape.columns == "method" and column in layout.verified else column


def _cell(cell: Cell | None, n: int) -> Text:
    """Mean, ± half the interval, how many training seeds where the row has others, and the mark."""
    if cell is None:
        return Text("-")
    text = cell.text(n, " ±")
    if cell.tested:
        text += f" {MARKS[cell.standing] if cell.standing else ' '}"
    elif cell.ranked:
        text += " *" if cell.standing == "best" else "  "
    return Text(text, style="bold" if cell.standing == "best" else "")


def print_json(sheets: Sequence[Sheet], proven: Proven = nobody) -> None:
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
        return {"mean": None, "n": 0, "reason": reason_of(row, column.name)}
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
