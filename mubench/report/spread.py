"""Where the spread of a number comes from: standard deviations by level of seeds."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from mubench.report.closing import number
from mubench.report.sheets import Sheet
from mubench.report.terminal import print_whole
from mubench.statistics import Undefined
from mubench.statistics.components import BOTH, components
from mubench.statistics.seeds import LEVELS, repeats

SHOWN = ("train", "forget", BOTH, "unlearn", "eval")
LEGEND = """\
runs: training seeds x forget sets x unlearning seeds x evaluation seeds
then standard deviations by level: roots of variance components (balanced designs); - where a level was not
repeated: its part lies in the nearest level to its left that was
more of the inner levels do not narrow the intervals of mubench table: their n counts training seeds"""


def spreads(sheets: Sequence[Sheet]) -> Iterator[dict[str, Any]]:
    """For each table, metric and row: how often each level was repeated, and its standard deviation."""
    for sheet in sheets:
        for column in sheet.columns:
            for label in sheet.rows:
                values = column.values[label]
                if not values:
                    continue
                facts = {**sheet.place._asdict(), "metric": column.name, "method": label}
                try:
                    found: dict[str, float | None] = components(values)
                    reason = None
                except Undefined as why:
                    found, reason = {}, str(why)
                roots = {level: None if one is None else one**0.5 for level, one in found.items()}
                yield {**facts, "repeats": repeats(values), "sd": roots, "reason": reason}


def print_spreads(sheets: Sequence[Sheet]) -> None:
    """A table for each table, a row for each metric and method."""
    for sheet in sheets:
        table = Table(title=sheet.place.title, title_justify="left")
        for name in ("metric", "method", "runs", *SHOWN):
            table.add_column(name, justify="left" if name in ("metric", "method") else "right", no_wrap=True)
        for one in spreads([sheet]):
            runs = " x ".join(str(one["repeats"][level]) for level in LEVELS)
            cells = [number(one["sd"].get(level)) for level in SHOWN]
            table.add_row(one["metric"], Text(one["method"]), runs, *cells)
        print_whole(table)
        for reason in sorted({one["reason"] for one in spreads([sheet]) if one["reason"]}):
            print_whole(f"! some rows have no components: {reason}")
    print_whole(LEGEND)


def print_spreads_json(sheets: Sequence[Sheet]) -> None:
    """The same as a list of objects, one a table, metric and method."""
    print(json.dumps(list(spreads(sheets)), indent=1))
