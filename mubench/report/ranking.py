"""Methods ranked over tables: mean ranks, Friedman's test, critical difference."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from rich.table import Table
from rich.text import Text

from mubench.errors import UsageError
from mubench.report.closing import ARROWS, number
from mubench.report.notes import DOUBT
from mubench.report.rows import aim
from mubench.report.sheets import Sheet
from mubench.report.terminal import print_whole
from mubench.statistics import Undefined
from mubench.statistics.ranks import Ranking, ranking

Rankings = dict[str, tuple[Ranking, list[str]]]  # by metric; with the methods that some table lacks


def rankings(sheets: Sequence[Sheet]) -> Rankings:
    """By metric: methods ranked by their mean scores in each table that compares two of them.

    Methods that some such table lacks are not ranked. UsageError if no metric can be ranked by.
    """
    found: Rankings = {}
    for name in dict.fromkeys(column.name for sheet in sheets for column in sheet.columns):
        columns = [c for sheet in sheets for c in sheet.columns if c.name == name and len(c.scores) > 1]
        methods = list(dict.fromkeys(label for column in columns for label in column.scores))
        everywhere = [label for label in methods if all(label in column.scores for column in columns)]
        scores = {label: [c.means[label] for c in columns] for label in everywhere}
        try:
            found[name] = ranking(scores), [label for label in methods if label not in everywhere]
        except Undefined:
            continue
    if not found:
        raise UsageError("ranks take two tables or more in which the same two methods or more have a goal")
    return found


def print_ranks(sheets: Sequence[Sheet]) -> None:
    """Methods as rows, metrics as columns; the best mean rank in bold, = within the critical difference."""
    found = rankings(sheets)
    tasks = len({sheet.place.task for sheet in sheets})
    table = Table(title="mean ranks, 1 is best", title_justify="left")
    table.add_column("method")
    for name in found:
        table.add_column(f"{name} {ARROWS[aim(name) or '']}".replace("_", "\n"), justify="right")
    for label in dict.fromkeys(label for one, _ in found.values() for label in one.ranks):
        table.add_row(Text(label), *(_rank(one, label) for one, _ in found.values()))
    table.add_section()
    table.add_row("tables", *(f"{one.blocks}  " for one, _ in found.values()))
    table.add_row("critical difference", *(f"{one.critical_difference:.2f}  " for one, _ in found.values()))
    table.add_row("Friedman p", *(f"{number(one.p)}  " for one, _ in found.values()))
    print_whole(table)
    print_whole(
        f"* best; = within the critical difference of the best (Nemenyi, {DOUBT}); "
        "ranks of mean scores over training seeds"
    )
    absent = {label for _, others in found.values() for label in others}
    if absent:
        print_whole(f"! not ranked by every metric, some table lacks them: {', '.join(sorted(absent))}")
    if tasks < len(sheets):
        print_whole(f"! {len(sheets)} tables of {tasks} tasks: tables of a task are not independent, so the "
                    "tests claim too much")  # fmt: skip


def _rank(one: Ranking, label: str) -> Text:
    if label not in one.ranks:
        return Text("-  ")
    best = next(iter(one.ranks.values()))
    first, rank = one.ranks[label] == best, one.ranks[label]
    mark = "*" if first else "=" if rank - best <= one.critical_difference else " "
    return Text(f"{rank:.2f} {mark}", style="bold" if first else "")


def print_ranks_json(sheets: Sequence[Sheet]) -> None:
    """The same as a list of objects, one a metric."""
    listed = [
        {"metric": name, **asdict(one), "groups": one.groups, "not_ranked": absent}
        for name, (one, absent) in rankings(sheets).items()
    ]
    print(json.dumps(listed, indent=1))
