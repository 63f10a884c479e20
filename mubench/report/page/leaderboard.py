"""Methods over tables: how many of the other methods each one beats, and what is left out and why."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mubench.records import Record
from mubench.report.reference import suppressed
from mubench.report.rows import Proven, Row, nobody, verified
from mubench.report.sheets import Column, Sheet
from mubench.statistics import FEWEST
from mubench.submissions.requirements import lacks

METRICS = (
    "gap_forget_loss", "tow", "avg_gap", "mia_auc", "forget_accuracy", "test_accuracy", "retain_accuracy",
    "forget_rougeL", "test_rougeL", "unlearn_seconds",
)  # fmt: skip


@dataclass
class Entry:
    """One method on the leaderboard."""

    method: str
    tables: int = 0  # that it stands in
    runs: int = 0
    seeds: int = 0  # the fewest training seeds of any table
    verified: bool = True
    wins: dict[str, float] = field(default_factory=dict)  # by metric
    records: list[Record] = field(default_factory=list)


@dataclass
class Board:
    """Methods, best by the first metric first, and what may not stand among them."""

    entries: list[Entry]
    left_out: dict[str, dict[str, list[str]]]  # by method: by reason: titles of tables


def leaderboard(sheets: Sequence[Sheet], proven: Proven = nobody) -> Board:
    """The methods of these tables.

    The win rate of a method by a metric is the share of the other methods of its tables whose mean score it
    beats, ties counted half: tables with other methods, or other numbers of them, weigh by their pairs.
    """
    entries: dict[str, Entry] = {}
    left_out: dict[str, dict[str, list[str]]] = {}
    for sheet in sheets:
        for label, row in sheet.rows.items():
            if not row.competes:
                continue
            if (why := lacking(row)) is not None:
                left_out.setdefault(label, {}).setdefault(why, []).append(sheet.place.title)
            else:
                _add(entries.setdefault(label, Entry(label)), row, sheet.n(label), verified(row, proven))
    for name in METRICS:
        for label, share in _wins([c for s in sheets for c in s.columns if c.name == name], entries).items():
            entries[label].wins[name] = share
    first = METRICS[0]
    order = sorted(entries.values(), key=lambda entry: (-entry.wins.get(first, -1.0), entry.method))
    return Board(order, left_out)


def _add(entry: Entry, row: Row, seeds: int, proven: bool) -> None:
    """One table more that a method stands in."""
    entry.seeds = min(entry.seeds or seeds, seeds)
    entry.tables, entry.runs = entry.tables + 1, entry.runs + row.runs
    entry.verified = entry.verified and proven
    entry.records += row.records


def lacking(row: Row) -> str | None:
    """What the first run of a row that is not whole lacks to stand on a leaderboard."""
    return next(filter(None, map(lacks, row.records)), None)


def _wins(columns: Sequence[Column], entries: Mapping[str, Entry]) -> dict[str, float]:
    """The share of comparisons that each method wins."""
    won: dict[str, float] = defaultdict(float)
    pairs: dict[str, int] = defaultdict(int)
    for column in columns:
        means = {label: mean for label, mean in column.means.items() if label in entries}
        for label, mean in means.items():
            others = [other for name, other in means.items() if name != label]
            won[label] += sum((mean > other) + (mean == other) / 2 for other in others)
            pairs[label] += len(others)
    return {label: won[label] / count for label, count in pairs.items() if count}


def warnings(sheets: Sequence[Sheet]) -> list[str]:
    """What a fair reader must know of these tables together; each row's own stands at the row."""
    records = [record for sheet in sheets for record in _runs(sheet)]
    few = sum(any(sheet.n(label) < FEWEST for label in sheet.rows) for sheet in sheets)
    without = sum(not record.metrics.get("retrained") for record in records)
    silent = sum(bool(suppressed(record.reasons)) for record in records)
    told = {
        f"{few:,} of {len(sheets):,} tables have rows with fewer than {FEWEST} training seeds: no interval, "
        "or a wide one, and no tests": few,
        f"{without:,} of {len(records):,} runs have no retrained model to be compared with": without,
        f"{silent:,} of {len(records):,} runs have ratios suppressed: original and retrained model do not "
        "differ beyond the noise of seeds": silent,
    }
    return [sentence for sentence, count in told.items() if count]


def _runs(sheet: Sheet) -> list[Record]:
    """The runs of a table, each once: shared models have rows of the same runs."""
    return [record for row in sheet.rows.values() if row.role == "unlearned" for record in row.records]
