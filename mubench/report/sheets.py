"""Tables as numbers: means and intervals, the best of each column, what is not told apart from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean
from typing import Literal

from mubench.errors import UsageError, did_you_mean
from mubench.metrics import Goal
from mubench.records import Record
from mubench.report.comparable import refuse_unlike
from mubench.report.places import Place
from mubench.report.rows import Row, aim, group
from mubench.statistics import Test
from mubench.statistics.paired import Pair, Pairs, compare
from mubench.statistics.seeds import LEVEL, Summary, Values, averaged, summarise

COLUMNS = (
    "test_accuracy", "retain_accuracy", "forget_accuracy", "test_rougeL", "retain_rougeL", "forget_rougeL",
    "test_fid", "test_clip_score", "forget_clip_score", "test_loss", "forget_loss", "mia_auc", "avg_gap",
    "tow", "unlearn_seconds", "speedup",
)  # fmt: skip
Standing = Literal["best", "tied", "worse", "untested"]


@dataclass(frozen=True)
class Column:
    """One quantity over the rows of a table."""

    name: str
    goal: Goal | None
    values: Mapping[str, Values]  # by row, as recorded
    scores: Mapping[str, Values]  # by row that competes: more is better; empty without a goal
    pairs: Pairs  # of the scores, every two of them

    @cached_property
    def summaries(self) -> dict[str, Summary | None]:
        """By row; None where no run has a value."""
        return {label: summarise(values) if values else None for label, values in self.values.items()}

    @cached_property
    def means(self) -> dict[str, float]:
        """Mean scores of the rows that compete."""
        return {label: fmean(averaged(scores).values()) for label, scores in self.scores.items()}

    @cached_property
    def best(self) -> str | None:
        """The row with the best mean score, the first of equal ones; None unless two rows compete."""
        return max(self.means, key=self.means.__getitem__) if len(self.means) > 1 else None

    def against_best(self, label: str) -> Pair | None:
        """What shared training seeds say of the best row and this one; None for the best, and without one."""
        if self.best is None or label == self.best:
            return None
        return self.pairs.get((self.best, label)) or self.pairs.get((label, self.best))

    def standing(self, label: str) -> Standing | None:
        """Where a competing row stands; None for the others, and where nothing competes."""
        if self.best is None or label not in self.scores:
            return None
        pair = self.against_best(label)
        if pair is None or self.means[label] == self.means[self.best]:
            return "best"
        if pair.adjusted is None:
            return "untested"
        return "tied" if pair.adjusted > 1 - LEVEL else "worse"


@dataclass(frozen=True)
class Sheet:
    """One table: the runs of one task, model and deletion."""

    place: Place
    rows: Mapping[str, Row]
    columns: Sequence[Column]

    def n(self, label: str) -> int:
        """Training seeds of a row."""
        return len({record.key["seed"]["train"] for record in self.rows[label].records})


def sheets(
    records: Sequence[Record], metrics: Sequence[str] | None, test: Test = "t", usual: Sequence[str] = COLUMNS
) -> list[Sheet]:
    """The tables of these records: of the metrics asked for, else of the usual ones that they have.

    UsageError for an unknown metric, or rows that cannot be compared.
    """
    _check_columns(records, metrics)
    tables = group(records)
    refuse_unlike(tables)
    return [Sheet(place, rows, _columns(rows, metrics, usual, test)) for place, rows in tables.items()]


def _check_columns(records: Sequence[Record], metrics: Sequence[str] | None) -> None:
    known = {name for r in records for part in (*r.metrics.values(), r.cost) for name in part or {}}
    for name in metrics or ():
        if name not in known:
            hint = did_you_mean(name, known)
            raise UsageError(f"no record has the metric '{name}'.{hint} (mubench ls metrics)")


def _columns(
    rows: Mapping[str, Row], metrics: Sequence[str] | None, usual: Sequence[str], test: Test
) -> list[Column]:
    """The columns asked for, or the usual ones that have a value in this table."""
    found = [column(rows, name, test) for name in metrics or usual]
    return [one for one in found if metrics or any(one.values.values())]


def column(rows: Mapping[str, Row], name: str, test: Test) -> Column:
    """A quantity of every row, and how those that compete differ in it."""
    goal = aim(name)
    values = {label: row.values(name) for label, row in rows.items()}
    scores = {}
    if goal is not None:
        of_row = {label: row.scores(name, goal, values[label]) for label, row in rows.items() if row.competes}
        scores = {label: found for label, found in of_row.items() if found}
    return Column(name, goal, values, scores, compare(scores, test))


def grounds(sheet: Sheet) -> dict[str, frozenset[tuple[int, str]]]:
    """The (seed.train, forget set) pairs that each row stands on, shared models left out."""
    return {
        label: frozenset((r.key["seed"]["train"], r.forget_set["sha256"]) for r in row.records)
        for label, row in sheet.rows.items()
        if row.role == "unlearned"
    }
