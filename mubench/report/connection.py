"""What lies between two models: a table of barriers, and a picture of the paths."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.table import Table

from mubench.files import write_atomically
from mubench.metrics import goal_of
from mubench.report.closing import ARROWS, number
from mubench.report.plots.style import COLOURS, MARKERS
from mubench.report.terminal import print_whole

SPLITS = {"forget": "forget set", "retain": "retain set", "test": "test set"}
LEGEND = (
    "first, last: with batch statistics made anew, as everywhere on the path; saved: as the runs left them\n"
    "barrier: how far a path rises above the line between its ends (for ↑: falls below it)"
)


def shown(found: Mapping[str, Any]) -> list[str]:
    """The two metrics that are printed and drawn: the loss, and what the task is judged by."""
    names = {name.partition("_")[2] for name in found["as_saved"][0] if name.startswith("test_")}
    main = [n for n in ("accuracy", "token_accuracy") if n in names]
    return ["loss", *main[:1]]


def print_barriers(found: Mapping[str, Any]) -> None:
    """Ends and barriers of each path, a row for each set and metric."""
    table = Table(title=_title(found), title_justify="left", title_style="bold")
    table.add_column("metric")
    curves = found["curves"]
    for name in ("first", "(saved)", "last", "(saved)", *(f"barrier: {curve}" for curve in curves)):
        table.add_column(name, justify="right")
    for metric in shown(found):
        for split in SPLITS:
            value = f"{split}_{metric}"
            line = curves["linear"][value]
            saved = [one[value] for one in found["as_saved"]]
            heights = [number(found["barriers"][curve][value]) for curve in curves]
            ends = [number(one) for one in (line[0], saved[0], line[-1], saved[1])]
            table.add_row(f"{value} {ARROWS.get(goal_of(f'test_{metric}') or '', '')}", *ends, *heights)
    print_whole(table)
    print_whole(LEGEND)


def _title(found: Mapping[str, Any]) -> str:
    runs = found["runs"]
    first, last = (run["method"] for run in runs)
    if first == last:
        first, last = (f"{run['method']} {run['fingerprint'][:8]}" for run in runs)
    return (
        f"{first} (t = 0) to {last} (t = 1) · {found['task']} · {found['model']} · "
        f"{found['distance']:.3g} apart"
    )


def draw(found: Mapping[str, Any], path: Path) -> None:
    """A png: metrics as rows, sets as columns, a line for each path."""
    from matplotlib.figure import Figure

    metrics = shown(found)
    figure = Figure(figsize=(10, 2.9 * len(metrics) + 0.9), dpi=130, layout="constrained")
    grid: Any = figure.subplots(len(metrics), len(SPLITS), squeeze=False, sharex=True, sharey="row")
    for row, metric in zip(grid, metrics, strict=True):
        for axes, split in zip(row, SPLITS, strict=True):
            _panel(axes, found["curves"], f"{split}_{metric}")
        row[0].set_ylabel(metric.replace("_", " "))
    for axes, title in zip(grid[0], SPLITS.values(), strict=True):
        axes.set_title(title, fontsize=10)
    for axes in grid[-1]:
        axes.set_xlabel("t on the path")
    lines, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(lines, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    figure.suptitle(_title(found), fontsize=11)
    write_atomically(path, lambda temporary: figure.savefig(temporary, format="png"))


def _panel(axes: Any, curves: Mapping[str, Any], value: str) -> None:
    for (name, curve), colour, marker in zip(curves.items(), COLOURS, MARKERS, strict=False):
        line = [float("nan") if one is None else one for one in curve[value]]
        axes.plot(curve["t"], line, color=colour, marker=marker, markersize=3.5, linewidth=1.4, label=name)
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.ticklabel_format(axis="y", useOffset=False)
