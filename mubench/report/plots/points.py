"""What forgetting costs: forget against test score, and quality against time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mubench.errors import UsageError
from mubench.report.papers import named
from mubench.report.plots.style import Look, figure, legend, looks, slug
from mubench.report.sheets import Column, Sheet

SCORES = ("accuracy", "rougeL", "clip_score")  # the first that a task has
QUALITY = ("avg_gap", "gap_forget_loss", "tow")
GREY = "#555555"


def tradeoff(sheets: Sequence[Sheet], width: str) -> dict[str, Any]:
    """Score on D_f against that on test, one picture for each table.

    The retrained model is a star and its lines: where they cross is the ideal.
    """
    return _each(sheets, width, [(f"forget_{score}", f"test_{score}") for score in SCORES])


def cost(sheets: Sequence[Sheet], width: str) -> dict[str, Any]:
    """Quality against seconds of unlearning, on a logarithmic axis; the retrained model's time is a line."""
    return _each(sheets, width, [("unlearn_seconds", quality) for quality in QUALITY])


def wanted(kind: str) -> list[str]:
    """The metrics that a picture of this kind may need."""
    scores = [f"{split}_{score}" for split in ("forget", "test") for score in SCORES]
    return scores if kind == "tradeoff" else ["unlearn_seconds", "retrain_seconds", *QUALITY]


def _each(sheets: Sequence[Sheet], width: str, pairs: Sequence[tuple[str, str]]) -> dict[str, Any]:
    marks = looks(label for sheet in sheets for label in sheet.rows)
    found = {}
    for sheet in sheets:
        columns = {column.name: column for column in sheet.columns if any(column.values.values())}
        pair = next(((columns[x], columns[y]) for x, y in pairs if x in columns and y in columns), None)
        if pair is not None:
            found[slug(sheet.place.title)] = _picture(sheet, *pair, marks, width)
    if not found:
        raise UsageError(f"no run has {' or '.join(' and '.join(pair) for pair in pairs)}")
    return found


def _picture(sheet: Sheet, across: Column, up: Column, marks: dict[str, Look], width: str) -> Any:
    drawn = figure(width, 0.75 if width == "column" else 0.5)
    axes, handles = drawn.subplots(), {}
    timed = across.name == "unlearn_seconds"  # the original took none
    for label in sheet.rows:
        x, y = across.summaries[label], up.summaries[label]
        if x is not None and y is not None and not (timed and label == "original"):
            look = marks[label]
            handles[label] = axes.errorbar(
                x.mean, y.mean, xerr=x.half_width, yerr=y.half_width, color=look.color, marker=look.marker,
                linestyle="none", elinewidth=0.7, capsize=1.5,
            )  # fmt: skip
    _goal(axes, sheet, across, up)
    if timed:
        axes.set_xscale("log")
    axes.set_xlabel(named(across.name, across.goal, papers=False).heading)
    axes.set_ylabel(named(up.name, up.goal, papers=False).heading)
    drawn.suptitle(sheet.place.title, fontsize=8)
    legend(drawn, handles, width)
    return drawn


def _goal(axes: Any, sheet: Sheet, across: Column, up: Column) -> None:
    """Lines through the retrained model's values: the ideal is where they cross."""
    for label in ("retrained", "retrain"):
        for column, line in ((across, axes.axvline), (up, axes.axhline)):
            summary = column.summaries.get(label) if label in sheet.rows else None
            if summary is not None:
                line(summary.mean, color=GREY, linewidth=0.8, linestyle=(0, (2, 2)), zorder=0)
