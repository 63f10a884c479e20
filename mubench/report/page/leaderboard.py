"""Methods over all tables: how many of the other methods each one beats, and what is left out and why."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mubench.records import Record
from mubench.report.layout import Proven
from mubench.report.rows import Row, verified
from mubench.report.sheets import Column, Sheet
from mubench.statistics.seeds import summarise

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


def leaderboard(sheets: Sequence[Sheet], proven: Proven = ()) -> tuple[list[Entry], dict[str, str]]:
    """The methods, best by the first metric first, and the rows that may not stand there with the reasons.

    The win rate of a method by a metric is the share of the other methods of its tables whose mean score it
    beats, ties counted half: tables with other methods, or other numbers of them, weigh by their pairs.
    """
    entries: dict[str, Entry] = {}
    left_out: dict[str, str] = {}
    for sheet in sheets:
        for label, row in sheet.rows.items():
            if not row.competes:
                continue
            if (why := lacking(row)) is not None:
                left_out[f"{sheet.place.title}: {label}"] = why
                continue
            entry = entries.setdefault(label, Entry(label))
            entry.seeds = min(entry.seeds or sheet.n(label), sheet.n(label))
            entry.tables, entry.runs = entry.tables + 1, entry.runs + row.runs
            entry.verified = entry.verified and verified(row, proven)
    for name in METRICS:
        for label, share in _wins([c for s in sheets for c in s.columns if c.name == name], entries).items():
            entries[label].wins[name] = share
    first = METRICS[0]
    return sorted(entries.values(), key=lambda entry: (-entry.wins.get(first, -1.0), entry.method)), left_out


def lacking(row: Row) -> str | None:
    """What a row lacks to stand on a leaderboard; None for a whole one."""
    needed = {
        "no hash of the forget set": lambda record: record.forget_set.get("sha256"),
        "no retrained model (evaluation.reference=retrain)": lambda record: record.metrics.get("retrained"),
        "no seeds": lambda record: record.key.get("seed"),
        "no cost": lambda record: record.cost.get("unlearn_seconds") is not None,
    }
    return next((why for why, has in needed.items() if not all(map(has, row.records))), None)


def _wins(columns: Sequence[Column], entries: Mapping[str, Entry]) -> dict[str, float]:
    """The share of comparisons that each method wins."""
    won: dict[str, float] = defaultdict(float)
    pairs: dict[str, int] = defaultdict(int)
    for column in columns:
        means = {label: summarise(s).mean for label, s in column.scores.items() if label in entries}
        for label, mean in means.items():
            others = [other for name, other in means.items() if name != label]
            won[label] += sum((mean > other) + (mean == other) / 2 for other in others)
            pairs[label] += len(others)
    return {label: won[label] / count for label, count in pairs.items() if count}


def warnings(sheets: Sequence[Sheet], records: Sequence[Record]) -> list[str]:
    """What a fair reader must know of all tables together."""
    few = [sheet.place.title for sheet in sheets if any(sheet.n(label) < 3 for label in sheet.rows)]
    without = sum(not record.metrics.get("retrained") for record in records)
    silent = sum(any("times the noise of" in why for why in record.reasons.values()) for record in records)
    found = []
    if few:
        found.append(f"{len(few)} of {len(sheets)} tables have rows with fewer than three training seeds: "
                     "no interval or a wide one, and no tests")  # fmt: skip
    if without:
        found.append(f"{without} runs have no retrained model to be compared with")
    if silent:
        found.append(f"{silent} runs have ratios suppressed: original and retrained model do not differ "
                     "beyond the noise of seeds")  # fmt: skip
    return found
