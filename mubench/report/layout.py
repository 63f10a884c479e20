"""What stands where in a printed table: rows and columns by any key, and what each cell shows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import mode

from mubench.errors import UsageError
from mubench.report.closing import number
from mubench.report.papers import Named, named
from mubench.report.rows import Proven, nobody, verified
from mubench.report.shape import AXES, Shape
from mubench.report.sheets import Column, Sheet, Standing


@dataclass(frozen=True)
class Cell:
    """One quantity of one row: over its training seeds, in the unit that is shown."""

    mean: float
    spread: float | None  # half of the interval, or the standard deviation; None for one training seed
    n: int
    standing: Standing | None
    tested: bool  # some rows of its column share enough training seeds for a test
    ranked: bool  # some row of its column is the best
    score: float | None  # mean score of a row that competes: more is better

    def text(self, n: int, sign: str = " ± ") -> str:
        """Mean and spread, and how many training seeds if not the n of its row."""
        spread = "" if self.spread is None else f"{sign}{number(self.spread)}"
        return number(self.mean) + spread + (f" (n={self.n})" if self.n != n else "")


@dataclass
class Layout:
    """One table to print: cells by row and column; a place without a cell has no value."""

    title: str
    shape: Shape
    rows: list[str] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)
    cells: dict[tuple[str, str], Cell] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)  # training seeds by row, in the usual shape
    verified: set[str] = field(default_factory=set)  # names of methods all of whose runs here are

    def n(self, row: str) -> int:
        """The training seeds that a row's cells have unless they say otherwise."""
        if row in self.counts:
            return self.counts[row]
        told = [cell.n for (at, _), cell in self.cells.items() if at == row]
        return mode(told) if told else 0


def layouts(sheets: Sequence[Sheet], shape: Shape, proven: Proven = nobody) -> list[Layout]:
    """The tables of a shape, one for all that the other keys have in common.

    A cell is compared with those of its own task, model, deletion and metric, wherever these stand.
    UsageError where several runs would stand in one place.
    """
    found: dict[str, Layout] = {}
    doubted: set[tuple[str, str]] = set()
    implied = _implied(sheets) if "task" in (shape.rows, shape.columns) else frozenset()
    for sheet in sheets:
        for label, row in sheet.rows.items():
            sure, of_row = verified(row, proven), _keys(sheet, label, shape)
            for column in sheet.columns:
                shown = named(column.name, column.goal, shape.papers)
                keys = {**of_row, "metric": shown.heading}
                title = " · ".join(_titled(keys, shape, implied))
                layout = found.setdefault(title, Layout(title, shape))
                _put(layout, keys, _cell(column, label, shown, shape))
                layout.counts |= {keys["method"]: sheet.n(label)} if shape.usual else {}
                layout.verified.add(keys["method"])
                if not sure:
                    doubted.add((title, keys["method"]))
    for title, method in doubted:
        found[title].verified.discard(method)
    return list(found.values())


def _keys(sheet: Sheet, label: str, shape: Shape) -> dict[str, str]:
    """What a row's cells are of, but their metric.

    A method's name is that of its row, without what stands on an axis of its own.
    """
    key, place = sheet.rows[label].records[0].key, sheet.place
    axes = {shape.rows, shape.columns} - {"method", "metric"}
    apart = tuple(f"{axis}{sign}" for axis in axes for sign in "=.")
    method = " ".join(word for word in label.split() if not word.startswith(apart))
    ratio = "-" if place.ratio is None else f"{place.ratio:g} %"
    found = {"method": method, "ratio": ratio}
    return {axis: found.get(axis) or str(key[axis]) for axis in AXES if axis != "metric"}


def _implied(sheets: Sequence[Sheet]) -> frozenset[str]:
    """Keys that differ between tasks only: where tasks stand side by side these set no tables apart."""
    found = set()
    for axis in ("model", "deletion", "ratio"):
        values = {(sheet.place.task, getattr(sheet.place, axis)) for sheet in sheets}
        tasks = {task for task, _ in values}
        if len(values) == len(tasks) and len({value for _, value in values}) > 1:
            found.add(axis)
    return frozenset(found)


def _titled(keys: Mapping[str, str], shape: Shape, implied: frozenset[str]) -> Iterator[str]:
    """Of what a table is: the keys that are no axis and that tables are told apart by."""
    axes = {shape.rows, shape.columns, *implied}
    yield from (keys[axis] for axis in ("task", "model") if axis not in axes)
    deleted = [keys[axis] for axis in ("deletion", "ratio") if axis not in axes and keys[axis] != "-"]
    yield from [" ".join(deleted)] if deleted else []
    yield from (keys[axis] for axis in ("method", "metric") if axis not in axes)


def _put(layout: Layout, keys: Mapping[str, str], cell: Cell | None) -> None:
    row, column = keys[layout.shape.rows], keys[layout.shape.columns]
    if cell is None and not layout.shape.usual:
        return
    for names, name in ((layout.rows, row), (layout.columns, column)):
        if name not in names:
            names.append(name)
    if cell is not None and layout.cells.setdefault((row, column), cell) is not cell:
        raise UsageError(f"several rows of runs stand at {row}, {column} of '{layout.title}': filter them")


def _cell(column: Column, label: str, shown: Named, shape: Shape) -> Cell | None:
    summary = column.summaries[label]
    if summary is None:
        return None
    spread = summary.sd if shape.sd else summary.half_width
    return Cell(
        shown.scale * summary.mean + shown.offset,
        None if spread is None else abs(shown.scale) * spread,
        summary.n,
        column.standing(label),
        column.pairs.tested,
        column.best is not None,
        column.means.get(label),
    )
