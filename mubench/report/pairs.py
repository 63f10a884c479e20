"""Every two methods of a table: their difference over shared training seeds, and its p value."""

from __future__ import annotations

import json
from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from mubench.report.closing import ARROWS, number
from mubench.report.notes import NAMES, SURE
from mubench.report.sheets import Sheet
from mubench.report.terminal import print_whole
from mubench.statistics.paired import Pair
from mubench.statistics.seeds import LEVEL

COLUMNS = ("metric", "first", "second", "difference", "n", "p", "p (Holm)")


def print_pairs(sheets: Sequence[Sheet], test: str) -> None:
    """A table of differences for each table; those that stay significant after Holm's correction in bold."""
    for sheet in sheets:
        table = Table(title=sheet.place.title, title_justify="left")
        for name in COLUMNS:
            table.add_column(name, justify="left" if name in COLUMNS[:3] else "right", no_wrap=True)
        for column in sheet.columns:
            title = f"{column.name} {ARROWS.get(column.goal or '', '')}"
            for (first, second), pair in column.pairs.items():
                clear = pair.adjusted is not None and pair.adjusted <= 1 - LEVEL
                cells = (title, first, second, *_numbers(pair))
                table.add_row(*(Text(cell) for cell in cells), style="bold" if clear else None)
        print_whole(table)
    print_whole(
        f"difference: first - second, turned so that more speaks for the first (≈: how much nearer its runs "
        f"are to the retrained model)\n± half of the {SURE} t interval over n shared training seeds\n"
        f"p: {NAMES[test]}, two-sided; Holm over all pairs of a metric in a table"
    )


def _numbers(pair: Pair) -> tuple[str, ...]:
    spread = "" if pair.half_width is None else f" ±{number(pair.half_width)}"
    return f"{number(pair.difference)}{spread}", str(pair.n), _p(pair.p), _p(pair.adjusted)


def _p(value: float | None) -> str:
    return "-" if value is None else "<0.001" if value < 0.001 else f"{value:.3f}"


def print_pairs_json(sheets: Sequence[Sheet]) -> None:
    """The same as a list of objects, one a pair and metric."""
    listed = [
        {**sheet.place._asdict(), "metric": column.name, "goal": column.goal,
         "first": first, "second": second, **pair._asdict()}
        for sheet in sheets
        for column in sheet.columns
        for (first, second), pair in column.pairs.items()
    ]  # fmt: skip
    print(json.dumps(listed, indent=1))
