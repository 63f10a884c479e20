"""Tables as comma-separated values: one line for each quantity of each row, for other programs."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from mubench.report.rows import Proven, nobody, verified
from mubench.report.sheets import Column, Sheet

FIELDS = (
    "task", "model", "deletion", "ratio", "method", "verified", "metric", "goal", "mean", "half_width", "sd",
    "n", "standing", "p", "p_holm",
)  # fmt: skip


def delimited(sheets: Sequence[Sheet], proven: Proven = nobody) -> str:
    """A header, then the numbers in full; what is not there is empty."""
    found = io.StringIO()
    writer = csv.writer(found, lineterminator="\n")
    writer.writerow(FIELDS)
    for sheet in sheets:
        for label, row in sheet.rows.items():
            for column in sheet.columns:
                known = [*sheet.place, label, verified(row, proven), column.name, column.goal]
                writer.writerow([*known, *_numbers(column, label)])
    return found.getvalue()


def _numbers(column: Column, label: str) -> list[object]:
    summary, pair = column.summaries[label], column.against_best(label)
    if summary is None:
        return [None, None, None, 0, None, None, None]
    compared = [column.standing(label), pair and pair.p, pair and pair.adjusted]
    return [summary.mean, summary.half_width, summary.sd, summary.n, *compared]
