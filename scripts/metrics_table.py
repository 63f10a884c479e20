"""Writes the table of docs/metrics.md: every metric with its definition, goal, needs and source.

python scripts/metrics_table.py            rewrites what stands below the mark in docs/metrics.md
python scripts/metrics_table.py --check    exits 1 where that is not what the metrics declare
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from inspect import getdoc
from pathlib import Path

import generated

from mubench.metrics import METRICS, Metric
from mubench.report.cards import card, definition

PAGE = Path(__file__).parent.parent / "docs" / "metrics.md"
MARK = "<!-- below: python scripts/metrics_table.py -->"
HEAD = "| metric | definition | goal | needs | source |\n|---|---|---|---|---|"


def tables() -> Iterator[str]:
    """A heading and a table for each module of metrics, in the order in which they are imported."""
    for module in dict.fromkeys(metric.function.__module__ for metric in METRICS.values()):
        title = (getdoc(sys.modules[module]) or "").split("\n")[0]
        yield f"\n## {title}\n\n{HEAD}"
        yield from (row(metric) for metric in METRICS.values() if metric.function.__module__ == module)


def row(metric: Metric) -> str:
    """One line of the table."""
    told = card(metric)
    cells = (f"`{metric.name}`", _flat(definition(metric)), told["goal"], told["needs"], told["source"])
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _flat(text: str) -> str:
    return " ".join(text.replace("*", "\\*").split())


def page() -> str:
    """The whole page: what is written by hand, and the tables."""
    return generated.page(PAGE, MARK, tables())


if __name__ == "__main__":
    sys.exit(generated.written(PAGE, page()))
