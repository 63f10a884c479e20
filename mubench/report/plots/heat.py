"""Heat map: methods by tasks, each task's best at one end of the scale; the numbers stand in the cells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mubench.report.closing import number
from mubench.report.layout import Layout, layouts
from mubench.report.plots.style import figure, slug
from mubench.report.shape import Shape
from mubench.report.sheets import Sheet

SMALLEST = 4.0  # points; below, shades stand alone


def heat(sheets: Sequence[Sheet], width: str) -> dict[str, Any]:
    """A map for each metric: shade is the place of a method's mean score between the worst and the best."""
    found = {}
    for layout in layouts(sheets, Shape(columns="task")):
        shades = _shades(layout)
        if not np.isnan(shades).all():
            found[slug(layout.title)] = _picture(layout, shades, width)
    return found


def _shades(layout: Layout) -> np.ndarray:
    """(rows, tasks): 0 the worst of the task's competing methods, 1 the best; NaN where none competes."""
    found = np.full((len(layout.rows), len(layout.columns)), np.nan)
    for place, task in enumerate(layout.columns):
        cells = {row: layout.cells.get((label, task)) for row, label in enumerate(layout.rows)}
        scores = {row: cell.score for row, cell in cells.items() if cell and cell.score is not None}
        order = sorted(scores.values())
        for row, score in scores.items() if len(order) > 1 else ():
            found[row, place] = (np.searchsorted(order, score, "right") - 1) / (len(order) - 1)
    return found


def _picture(layout: Layout, shades: np.ndarray, width: str) -> Any:
    drawn = figure(width)
    drawn.set_size_inches(drawn.get_figwidth(), 0.9 + 0.17 * len(layout.rows))
    axes = drawn.subplots()
    axes.imshow(shades, aspect="auto", cmap="Blues", vmin=0, vmax=1.4)
    axes.grid(visible=False)
    axes.set_xticks(
        range(len(layout.columns)), layout.columns, rotation=35, ha="right", rotation_mode="anchor"
    )
    axes.set_yticks(range(len(layout.rows)), layout.rows)
    size = min(6.0, 19 * (drawn.get_figwidth() - 1) / len(layout.columns))  # points that fit into a cell
    for row, label in enumerate(layout.rows if size >= SMALLEST else []):
        for place, task in enumerate(layout.columns):
            cell = layout.cells.get((label, task))
            best = cell is not None and cell.standing == "best"
            axes.text(place, row, number(cell.mean) if cell else "-", ha="center", va="center", fontsize=size,
                      fontweight="bold" if best else "normal")  # fmt: skip
    drawn.suptitle(f"{layout.title} (darker is better, bold the best)", fontsize=8)
    return drawn
