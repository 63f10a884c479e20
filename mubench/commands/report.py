"""usage: mubench report [key=value ...] [--plain] [--to FILE] [out=PATH]

Finished runs as one HTML file that needs no network: leaderboard, a page for each task with its tables and
pictures, every run with its settings, numbers, cost and environment. Filters choose runs as for
`mubench table`. Tables that cannot be compared are left out, and the page says why.

  --plain     without pictures, which take matplotlib (pip install 'mubench[plot]')
  --to FILE   where to (default: reports/report.html of the outputs folder)
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mubench.commands import arguments, finished
from mubench.extras import need
from mubench.files import check_outputs, write_text


def main(argv: Sequence[str]) -> int:
    """Choose, compare, write."""
    typed = arguments.read(argv, {"--plain": "plain"}, ("--to",))
    out, words = arguments.out_of(typed.words)
    wanted, _ = finished.filters("report", words, ())
    plain = "plain" in typed.flags
    if not plain:
        need("mubench report with pictures (or --plain)", "matplotlib", extra="plot")
    path = Path(typed.options.get("to", out / "reports" / "report.html"))
    check_outputs(path.parent)
    from mubench.report.page.comparing import fair
    from mubench.report.page.content import content
    from mubench.report.page.pictures import pictures
    from mubench.report.page.render import render
    from mubench.report.proofs import proofs

    runs = finished.runs(out, wanted)
    sheets, refused = fair([record for _, record in runs])
    drawn = {} if plain else pictures(runs, sheets)
    write_text(path, render(content(runs, sheets, refused, proofs(out, runs), out, drawn)))
    print(path)
    return 0
