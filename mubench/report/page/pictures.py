"""The page's pictures: of all tasks together, and of each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from mubench.errors import UsageError
from mubench.records import Record
from mubench.report.page.comparing import of
from mubench.report.plots.style import DATES, SETTINGS, slug
from mubench.report.sheets import Sheet

Pictures = list[tuple[str, bytes]]  # title, SVG
PICTURED = ("forget_loss", "mia_auc", "test_accuracy", "test_rougeL")  # against the deletion ratio
RANKED = ("gap_forget_loss", "tow")


def pictures(runs: Sequence[tuple[Path, Record]], sheets: Sequence[Sheet]) -> dict[str | None, Pictures]:
    """Those that these tables give, by task; those of all tasks under None."""
    from matplotlib import rc_context

    places = dict(_places(sheets))
    found: dict[str | None, Pictures] = defaultdict(list)
    with rc_context(SETTINGS):
        for title, draw in _kinds(runs, sheets):
            try:
                drawn = draw()
            except UsageError:  # these runs have no such picture: one ratio, one task
                continue
            for name, figure in drawn.items():
                task, place = places.get(name, (None, name))
                found[task].append((f"{title}: {place}", _svg(figure)))
    return found


def _kinds(
    runs: Sequence[tuple[Path, Record]], sheets: Sequence[Sheet]
) -> Iterator[tuple[str, Callable[[], dict[str, Any]]]]:
    """What is drawn, in order."""
    from mubench.report.plots import attacked, heat, lines, points, ranking

    yield "Mean ranks", lambda: ranking.ranks(of(sheets, RANKED), "page")
    yield "Methods by tasks", lambda: heat.heat(of(sheets, RANKED[:1]), "page")
    yield "Against the deletion ratio", lambda: lines.ratios(of(sheets, PICTURED), "page")
    yield "Forget against test score", lambda: points.tradeoff(of(sheets, points.wanted("tradeoff")), "page")
    yield (
        "Distance to the retrained model against seconds",
        lambda: points.cost(of(sheets, points.wanted("cost")), "page"),
    )
    yield "Relearning", lambda: attacked.relearning(runs, "page")


def _places(sheets: Sequence[Sheet]) -> Iterator[tuple[str, tuple[str, str]]]:
    """Task and title by the names that pictures have."""
    for sheet in sheets:
        place = sheet.place
        yield slug("-".join(place[:3])), (place.task, " · ".join(place[:3]))
        yield slug(place.title), (place.task, place.title)


def _svg(figure: Any) -> bytes:
    file = BytesIO()
    figure.savefig(file, format="svg", metadata=DATES["svg"])
    return file.getvalue()
