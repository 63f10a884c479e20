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

    tasks = dict(_tasks(sheets))
    found: dict[str | None, Pictures] = defaultdict(list)
    with rc_context(SETTINGS):
        for title, draw in _kinds(runs, sheets):
            try:
                drawn = draw()
            except UsageError:  # these runs have no such picture: one ratio, one task
                continue
            for name, figure in drawn.items():
                caption = ": ".join(text for text in (title, figure.get_suptitle()) if text)
                found[tasks.get(name)].append((caption, _svg(figure)))
    return found


def _kinds(
    runs: Sequence[tuple[Path, Record]], sheets: Sequence[Sheet]
) -> Iterator[tuple[str, Callable[[], dict[str, Any]]]]:
    """What is drawn, in order: a name, where the picture's title does not say it, and how."""
    from mubench.report.plots import attacked, heat, lines, points, ranking

    yield "", lambda: ranking.ranks(of(sheets, RANKED), "page")
    yield "Methods by tasks", lambda: heat.heat(of(sheets, RANKED[:1]), "page")
    yield "Against the deletion ratio", lambda: lines.ratios(of(sheets, PICTURED), "page")
    yield "Forget against test score", lambda: points.tradeoff(of(sheets, points.wanted("tradeoff")), "page")
    yield (
        "Distance to the retrained model against seconds",
        lambda: points.cost(of(sheets, points.wanted("cost")), "page"),
    )
    yield "Relearning", lambda: attacked.relearning(runs, "page")


def _tasks(sheets: Sequence[Sheet]) -> Iterator[tuple[str, str]]:
    """Tasks by the names that their pictures have."""
    for sheet in sheets:
        yield slug("-".join(sheet.place[:3])), sheet.place.task
        yield slug(sheet.place.title), sheet.place.task


def _svg(figure: Any) -> bytes:
    file = BytesIO()
    figure.savefig(file, format="svg", metadata=DATES["svg"])
    return file.getvalue()
