"""Tables in Markdown, as GitHub renders it."""

from __future__ import annotations

from collections.abc import Sequence

from mubench.report.layout import Cell, Layout
from mubench.report.notes import Told, listed
from mubench.report.table import MARKS, heading, named_row


def markdown(found: Sequence[Layout], told: Told) -> str:
    """A heading and a table for each, then what there is to say below as a list."""
    tables = [f"### {_safe(layout.title)}\n\n{_table(layout)}\n" for layout in found]
    return "\n".join([*tables, *(_note(*note) for note in listed([told]))])


def _table(layout: Layout) -> str:
    head = [layout.shape.rows, "n", *(_safe(heading(layout, column)) for column in layout.columns)]
    lines = [head, ["---", *["--:"] * (len(head) - 1)]]
    for row in layout.rows:
        n = layout.n(row)
        cells = [_cell(layout.cells.get((row, column)), n) for column in layout.columns]
        lines.append([_safe(named_row(layout, row)), str(n), *cells])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(cell: Cell | None, n: int) -> str:
    if cell is None:
        return "-"
    text = cell.text(n)
    if cell.standing == "best":
        return f"**{text}**"
    return f"{text} {MARKS[cell.standing]}" if cell.tested and cell.standing in ("tied", "untested") else text


def _note(sign: str, text: str) -> str:
    """A note with its sign as it is shown here: the best is bold, not starred."""
    return f"- {'**bold**' if sign == '*' else sign} {_safe(text)}"


def _safe(text: str) -> str:
    """Text that Markdown takes for nothing else."""
    return "".join(f"\\{sign}" if sign in "|*_`<>[]\\" else sign for sign in text)
