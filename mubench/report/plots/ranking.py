"""Critical-difference diagram: mean ranks of methods, those not told apart joined by a bar.

Demsar (2006), JMLR 7, figure 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mubench.report.papers import named
from mubench.report.plots.style import figure
from mubench.report.ranking import rankings
from mubench.report.rows import aim
from mubench.report.sheets import Sheet
from mubench.statistics.ranks import Ranking

ROW = 0.17  # inches between names


def ranks(sheets: Sequence[Sheet], width: str) -> dict[str, Any]:
    """A diagram for each metric; UsageError unless two tables or more share two methods or more."""
    return {name: _picture(name, ranking, width) for name, (ranking, _) in rankings(sheets).items()}


def _picture(name: str, ranking: Ranking, width: str) -> Any:
    names, best = list(ranking.ranks), 1.0
    left = (len(names) + 1) // 2
    drawn = figure(width)
    bars = len(ranking.groups)
    height = ROW * (left + bars * 0.5 + 4)
    drawn.set_size_inches(drawn.get_figwidth(), height)
    axes = drawn.subplots()
    axes.set_axis_off()
    worst, span = float(len(names)), max(len(names) - best, 1.0)
    axes.set_xlim(best - 0.55 * span, worst + 0.55 * span)
    axes.set_ylim(left + bars * 0.5 + 2, -2.2)
    _scale(axes, ranking, int(worst))
    for number, group in enumerate(ranking.groups):
        ends = [ranking.ranks[group[0]], ranking.ranks[group[-1]]]
        axes.plot([ends[0] - 0.02 * span, ends[1] + 0.02 * span], [0.5 + number * 0.5] * 2, color="black",
                  linewidth=2.5, solid_capstyle="butt")  # fmt: skip
    for place, label in enumerate(names):
        first = place < left
        row = (place if first else len(names) - 1 - place) + 1 + bars * 0.5
        edge = best - 0.06 * span if first else worst + 0.06 * span
        _name(axes, label, ranking.ranks[label], row, edge, "right" if first else "left")
    title = f"Mean ranks by {named(name, aim(name), papers=False).heading} over {ranking.blocks} tables"
    drawn.suptitle(title, fontsize=8)
    return drawn


def _scale(axes: Any, ranking: Ranking, worst: int) -> None:
    """The axis of ranks, and the critical difference above it."""
    axes.plot([1, worst], [0, 0], color="black", linewidth=0.8)
    step = max(1, worst // 8)
    for rank in range(1, worst + 1, step):
        axes.plot([rank, rank], [0, -0.25], color="black", linewidth=0.8)
        axes.text(rank, -0.4, str(rank), ha="center", va="bottom", fontsize=7)
    end = min(1 + ranking.critical_difference, worst)
    axes.plot([1, end], [-1.5, -1.5], color="black", linewidth=0.8, marker="|")
    axes.text(
        (1 + end) / 2, -1.6, f"CD = {ranking.critical_difference:.2f}", ha="center", va="bottom", fontsize=7
    )


def _name(axes: Any, label: str, rank: float, row: float, edge: float, side: str) -> None:
    """A method's name beside the axis, and the elbow from there to its rank."""
    axes.plot([rank, rank, edge], [0, row, row], color="black", linewidth=0.6)
    text = f"{label} {rank:.2f} " if side == "right" else f" {rank:.2f} {label}"
    axes.text(edge, row, text, ha=side, va="center", fontsize=7)
