"""A calibration as a table: the metrics that tell originals from retrained models best, first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from mubench.report.closing import ARROWS, number
from mubench.report.terminal import print_whole

HEADINGS = (
    "metric",
    "AUC",
    "interval",
    "raw",
    "4 bits\nAUC",
    "\nraw",
    "\nmoves",
    "1 epoch\nAUC",
    "\nraw",
    "\nmoves",
)
COLUMNS = ("raw", *(f"{state}_{what}" for state in ("int4", "relearned") for what in ("auc", "raw", "moves")))
LEGEND = (
    "AUC: share of pairs in which the original is further from the metric's goal than the retrained model;\n"
    "raw: by the value alone, either way round; 4 bits, 1 epoch: after rounding, after an epoch on D_r;\n"
    "moves: how far that shifts the value, in standard deviations over all models; -: some model has none"
)


def print_calibration(found: Mapping[str, Any]) -> None:
    """All metrics with a goal, best first, and how to read it."""
    key, n = found["key"], found["models"]
    table = Table(title=f"{key['task']} · {key['model']} · {n} originals, {n} retrained models",
                  title_justify="left", title_style="bold")  # fmt: skip
    for place, heading in enumerate(HEADINGS):
        table.add_column(heading, justify="right" if place else "left")
    for row in sorted(found["metrics"], key=_worth):
        name = f"{row['name']} {ARROWS[row['goal']]}"
        table.add_row(name, number(row["auc"]), _interval(row), *(number(row[column]) for column in COLUMNS))
    print_whole(table)
    print_whole(LEGEND)


def _worth(row: Mapping[str, Any]) -> tuple[float, float, str]:
    """Best first; those without a figure last."""
    return (-(row["auc"] if row["auc"] is not None else -1), -(row["raw"] or 0), row["name"])


def _interval(row: Mapping[str, Any]) -> str:
    return "-" if row["low"] is None else f"{number(row['low'])} to {number(row['high'])}"
