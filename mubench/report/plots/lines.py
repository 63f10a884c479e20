"""Metric against deletion ratio, with bands; and scores along attacks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mubench.errors import UsageError
from mubench.report.papers import named
from mubench.report.plots.style import Look, figure, legend, looks, slug
from mubench.report.sheets import Sheet
from mubench.statistics.seeds import Summary

Line = list[tuple[float, Summary]]


def ratios(sheets: Sequence[Sheet], width: str) -> dict[str, Any]:
    """Each metric against the deletion ratio: a picture for each task, model and way of deletion.

    A line for each method; the band is the interval over training seeds. UsageError unless one task was run
    at two ratios or more.
    """
    groups: dict[tuple[str, str, str], list[Sheet]] = defaultdict(list)
    for sheet in sheets:
        if sheet.place.ratio is not None:
            groups[sheet.place[:3]].append(sheet)
    several = {place: found for place, found in groups.items() if len(found) > 1}
    if not several:
        raise UsageError("plot ratio takes runs of one task at two deletion ratios or more (sweep=ratios)")
    marks = looks(label for found in several.values() for sheet in found for label in sheet.rows)
    return {slug("-".join(place)): _picture(found, marks, width) for place, found in several.items()}


def _picture(sheets: Sequence[Sheet], marks: Mapping[str, Look], width: str) -> Any:
    names = list(dict.fromkeys(column.name for sheet in sheets for column in sheet.columns))
    down = len(names) if width == "column" else -(-len(names) // 3)
    across = -(-len(names) // down)  # four are two by two, not three and one
    drawn = figure(width, 0.62 * down / across + 0.05)
    grid = drawn.subplots(down, across, squeeze=False, sharex=True)
    handles: dict[str, Any] = {}
    for axes, name in zip(grid.flat, names, strict=False):
        for label, line in _lines(sheets, name).items():
            handles.setdefault(label, _draw(axes, line, marks[label]))
        goal = next(c.goal for sheet in sheets for c in sheet.columns if c.name == name)
        axes.set_ylabel(named(name, goal, papers=False).heading)
    for axes in grid.flat[len(names) :]:
        axes.set_visible(False)
    for column in grid.T:
        lowest = [axes for axes in column if axes.get_visible()][-1]
        lowest.tick_params(labelbottom=True)  # the one below it may be empty
        lowest.set_xlabel("deletion ratio, %")
    drawn.suptitle(" · ".join(sheets[0].place[:3]), fontsize=8)
    legend(drawn, handles, width)
    return drawn


def _lines(sheets: Sequence[Sheet], name: str) -> dict[str, Line]:
    """A metric by method: its summaries by ratio."""
    found: dict[str, Line] = defaultdict(list)
    for sheet in sorted(sheets, key=lambda sheet: sheet.place.ratio or 0.0):
        for column in sheet.columns:
            for label, summary in column.summaries.items() if column.name == name else ():
                if summary is not None and sheet.place.ratio is not None:
                    found[label].append((sheet.place.ratio, summary))
    return found


def _draw(axes: Any, line: Line, look: Look) -> Any:
    """One line with its band; its handle for the legend."""
    x = np.array([ratio for ratio, _ in line])
    mean = np.array([summary.mean for _, summary in line])
    half = np.array([summary.half_width or 0.0 for _, summary in line])
    if half.any():
        axes.fill_between(x, mean - half, mean + half, color=look.color, alpha=0.15, linewidth=0)
    (handle,) = axes.plot(x, mean, color=look.color, marker=look.marker, linestyle=look.linestyle)
    axes.set_xticks(x)
    return handle
