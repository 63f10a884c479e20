"""usage: mubench report [key=value ...] [--plain] [out=PATH]

Finished runs as one HTML file that needs no network: leaderboard, tables, pictures, every run with its
settings, numbers, cost and environment. Filters choose runs as for `mubench table`. Tables that cannot be
compared are left out, and the page says why. Leaves reports/report.html in the outputs folder.

  --plain     without pictures, which take matplotlib (pip install 'mubench[plot]')
"""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import TYPE_CHECKING

from mubench.commands import arguments, finished
from mubench.errors import UsageError
from mubench.extras import need
from mubench.files import check_outputs, write_text

if TYPE_CHECKING:
    from mubench.report.sheets import Sheet

PICTURED = ("forget_loss", "mia_auc", "test_accuracy", "test_rougeL")  # against the deletion ratio
RANKED = ("gap_forget_loss", "tow")


def main(argv: Sequence[str]) -> int:
    """Choose, compare, write."""
    typed = arguments.read(argv, {"--plain": "plain"})
    out, words = arguments.out_of(typed.words)
    wanted, _ = finished.filters("report", words, ())
    if "plain" not in typed.flags:
        need("mubench report with pictures (or --plain)", "matplotlib", extra="plot")
    check_outputs(out)
    from mubench.report.page.comparing import fair
    from mubench.report.page.content import content
    from mubench.report.page.render import render
    from mubench.verified import proven

    runs = finished.runs(out, wanted)
    sheets, refused = fair([record for _, record in runs])
    page = content(runs, sheets, proven(out), out)
    page["warnings"] += refused
    pictures = [] if "plain" in typed.flags else _pictures(sheets)
    path = out / "reports" / "report.html"
    write_text(path, render(page, pictures))
    print(path)
    return 0


def _pictures(sheets: list[Sheet]) -> list[tuple[str, bytes]]:
    """Those that these tables give, as SVG."""
    from matplotlib import rc_context

    from mubench.report.page.comparing import of
    from mubench.report.plots import heat, lines, points, ranking
    from mubench.report.plots.style import DATES, SETTINGS

    found = []
    with rc_context(SETTINGS):
        for title, draw, metrics in (
            ("mean ranks", ranking.ranks, RANKED),
            ("methods by tasks", heat.heat, RANKED[:1]),
            ("against the deletion ratio", lines.ratios, PICTURED),
            ("forget against test score", points.tradeoff, points.wanted("tradeoff")),
        ):
            try:
                drawn = draw(of(sheets, metrics), "page")
            except UsageError:  # these tables have no such picture: one ratio, one task
                continue
            for name, figure in drawn.items():
                file = BytesIO()
                figure.savefig(file, format="svg", metadata=DATES["svg"])
                found.append((f"{name}: {title}", file.getvalue()))
    return found
