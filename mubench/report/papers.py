"""Quantities as they are headed: by our names, or by the abbreviations and units of the papers.

Unlearning accuracy UA, remaining and testing accuracy RA and TA, and MIA efficacy in percent, run-time
efficiency RTE in minutes: as in SalUn (Fan et al., ICLR 2024, arXiv:2310.12508, section 5).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from mubench.metrics import Goal
from mubench.report.closing import ARROWS


class Paper(NamedTuple):
    """A quantity in a paper's unit: scale * ours + offset."""

    name: str  # ours
    scale: float
    offset: float = 0.0


PAPERS = {
    "UA": Paper("forget_accuracy", -100.0, 100.0),
    "RA": Paper("retain_accuracy", 100.0),
    "TA": Paper("test_accuracy", 100.0),
    "MIA": Paper("mia_efficacy", 100.0),
    "Avg. Gap": Paper("avg_gap", 100.0),
    "RTE": Paper("unlearn_seconds", 1 / 60),
}
USUAL = tuple(paper.name for paper in PAPERS.values())  # what such tables show
UNITS = {"UA": "%", "RA": "%", "TA": "%", "MIA": "%", "Avg. Gap": "%", "RTE": "min"}


class Named(NamedTuple):
    """How a quantity is shown."""

    name: str  # ours
    heading: str  # with the arrow of its goal
    goal: Goal | None
    scale: float = 1.0
    offset: float = 0.0


def named(name: str, goal: Goal | None, papers: bool) -> Named:
    """Ours as it is; with `papers` as the papers have it, where they have it."""
    arrow = ARROWS.get(goal or "", "")
    for short, paper in PAPERS.items() if papers else ():
        if paper.name == name:
            heading = f"{short} ({UNITS[short]}) {arrow}".strip()
            return Named(name, heading, goal, paper.scale, paper.offset)
    return Named(name, f"{name} {arrow}".strip(), goal)


def ours(names: Sequence[str]) -> list[str]:
    """Names of metrics, the papers' translated: UA is forget_accuracy."""
    return [PAPERS[name].name if name in PAPERS else name for name in names]
