"""Relearning curves: how soon fine-tuning brings D_f back, beside the retrained model's.

Read from the curves.json of runs with evaluation=robust.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mubench.errors import UsageError
from mubench.files import Corrupt
from mubench.records import Record, curves
from mubench.report.places import Place
from mubench.report.plots.style import Look, figure, legend, looks, slug
from mubench.report.rows import REFERENCES

ATTACK = "relearn"
SCORES = ("forget_accuracy", "forget_token_accuracy", "forget_loss")  # the first that the curves have
Curve = Mapping[str, list[float | None]]


def relearning(runs: Iterable[tuple[Path, Record]], width: str) -> dict[str, Any]:
    """A picture for each task, model and deletion, a panel for each source of examples, a line a method.

    Lines are means over runs, between the least and the most of them. UsageError where no run has curves.
    """
    groups: dict[str, dict[str, list[Mapping[str, Curve]]]] = defaultdict(lambda: defaultdict(list))
    for folder, record in runs:
        key, found = record.key, _curves(folder)
        place = Place(key["task"], key["model"], key["deletion"], key["ratio"]).title
        for role, label in (("unlearned", key["method"]), *((role, role) for role in REFERENCES)):
            if ATTACK in found.get(role, {}) and key["method"] not in REFERENCES.values():
                groups[place][label].append(found[role][ATTACK])
    if not groups:
        raise UsageError("plot relearn takes runs with curves of relearning (evaluation=robust)")
    marks = looks(label for methods in groups.values() for label in sorted(methods))
    return {slug(place): _picture(place, methods, marks, width) for place, methods in groups.items()}


def _curves(folder: Path) -> dict[str, Any]:
    try:
        return curves(folder)
    except Corrupt as error:
        raise UsageError(str(error)) from error


def _picture(
    place: str, methods: Mapping[str, list[Mapping[str, Curve]]], marks: Mapping[str, Look], width: str
) -> Any:
    told = [curve for several in methods.values() for one in several for curve in one.values()]
    score = next(name for name in SCORES if any(name in curve for curve in told))
    sources = list(dict.fromkeys(source for several in methods.values() for one in several for source in one))
    down = len(sources) if width == "column" else -(-len(sources) // 2)
    drawn = figure(width, 0.5 * down / (1 if width == "column" else 2) + 0.05)
    grid = drawn.subplots(down, 1 if width == "column" else 2, squeeze=False, sharey=True)
    handles: dict[str, Any] = {}
    for axes, source in zip(grid.flat, sources, strict=False):
        for label in sorted(methods):
            lines = [one[source] for one in methods[label] if not isinstance(one.get(source, ""), str)]
            if lines:
                handles.setdefault(label, _line(axes, lines, score, marks[label]))
        axes.set_title(f"relearning from {source}")
        axes.set_xlabel("optimizer steps")
        axes.set_xscale("symlog", linthresh=1)
    for axes in grid[:, 0]:
        axes.set_ylabel(score.replace("_", " "))
    for axes in grid.flat[len(sources) :]:
        axes.set_visible(False)
    drawn.suptitle(place, fontsize=8)
    legend(drawn, handles, width)
    return drawn


def _line(axes: Any, curves: list[Curve], score: str, look: Look) -> Any:
    steps = curves[0]["steps"]
    values = np.array([curve[score] for curve in curves if curve["steps"] == steps], dtype=np.float64)
    if len(values) > 1:
        axes.fill_between(steps, values.min(0), values.max(0), color=look.color, alpha=0.15, linewidth=0)
    (handle,) = axes.plot(
        steps, values.mean(0), color=look.color, marker=look.marker, linestyle=look.linestyle
    )
    return handle
