"""How pictures look: sizes of a paper's columns, marks that survive black and white, files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any, NamedTuple

from mubench.files import write_atomically

# Okabe & Ito's palette (https://jfly.uni-koeln.de/color), the yellow left out: too faint on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")  # 7, prime to 6: pairs repeat after 42
LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))
WIDTHS = {"column": 3.35, "page": 6.9}  # inches: one and two columns of the usual conference styles
LINE = 0.15  # inches of a legend's line
FORMATS = ("png", "svg", "pdf")
DATES = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}  # left out
SETTINGS: dict[str, Any] = {
    "font.size": 8, "axes.titlesize": 8, "axes.labelsize": 8, "legend.fontsize": 7, "xtick.labelsize": 7,
    "ytick.labelsize": 7, "lines.linewidth": 1.2, "lines.markersize": 4, "axes.linewidth": 0.6,
    "grid.color": "#d9d9d9", "grid.linewidth": 0.5, "axes.grid": True, "axes.axisbelow": True,
    "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False,
    "pdf.fonttype": 42, "svg.fonttype": "none", "svg.hashsalt": "mubench",
}  # fmt: skip


class Look(NamedTuple):
    """One method's marks, the same in every picture of a command."""

    color: str
    marker: str
    linestyle: Any


REFERENCES = {
    "original": Look("#777777", "h", ":"), "retrained": Look("#000000", "*", "-"),
    "retrain": Look("#000000", "*", "-"),
}  # fmt: skip


def looks(names: Iterable[str]) -> dict[str, Look]:
    """A look for each name, in order; the original and the retrained model have their own."""
    marks = zip(cycle(COLOURS), cycle(MARKERS), cycle(LINES), strict=False)
    methods = [name for name in dict.fromkeys(names) if name not in REFERENCES]
    return REFERENCES | {name: Look(*mark) for name, mark in zip(methods, marks, strict=False)}


def slug(text: str) -> str:
    """A text as part of a file's name."""
    return re.sub(r"[^A-Za-z0-9._]+", "-", text).strip("-")


def figure(width: str, ratio: float = 0.75) -> Any:
    """An empty figure of a paper's width; `ratio` is height by width."""
    from matplotlib.figure import Figure

    size = WIDTHS[width]
    return Figure(figsize=(size, size * ratio), dpi=200, layout="constrained")


def legend(figure: Any, handles: Mapping[str, Any], width: str) -> None:
    """All names below the axes, in as many columns as fit; the figure grows by what they take."""
    if handles:
        longest = max(map(len, handles))
        columns = max(1, min(len(handles), int(WIDTHS[width] * 16 / (longest + 5))))
        figure.legend(list(handles.values()), list(handles), loc="outside lower center", ncols=columns)
        across, down = figure.get_size_inches()
        figure.set_size_inches(across, down + LINE * (-(-len(handles) // columns)) + LINE / 2)


def save(figure: Any, place: Path, formats: Sequence[str]) -> list[Path]:
    """The picture in each format, at `place` with its ending; the same picture gives the same bytes."""
    made = {place.with_name(f"{place.name}.{form}"): form for form in formats}
    for path, form in made.items():
        write_atomically(path, partial(figure.savefig, format=form, metadata=DATES.get(form)))
    return list(made)
