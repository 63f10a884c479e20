"""What a search found, as a table of its best trials."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table
from rich.text import Text

from mubench.report.terminal import print_whole

LEGEND = (
    "distance: from the retrained models on the validation forget sets, lower is better (docs/search.md); "
    "≥: given up when it could not win any more"
)


@dataclass(frozen=True)
class Line:
    """A trial as a row shows it."""

    number: int
    state: str  # complete | pruned | failed | running
    score: float
    settings: Mapping[str, Any]
    note: str = ""


def print_trials(title: str, names: Sequence[str], lines: Sequence[Line], more: int) -> None:
    """A table of trials in the given order, with the settings of these names; `more` were left out."""
    table = Table(title=title, title_justify="left")
    for heading in ("trial", "distance", *names, ""):
        table.add_column(heading, justify="left" if heading == "" else "right")
    for line in lines:
        values = [str(line.settings.get(name, "-")) for name in names]
        table.add_row(*map(Text, (str(line.number), _distance(line), *values, line.note)))
    print_whole(table)
    if more:
        print_whole(f"and {more} trials more")


def _distance(line: Line) -> str:
    if line.state in ("failed", "running") or not math.isfinite(line.score):
        return line.state
    return f"{'≥ ' if line.state == 'pruned' else ''}{line.score:.3f}"
