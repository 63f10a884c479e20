"""usage: mubench plot KIND [key=value ...] [metrics=[NAME,...]] [--width column|page] [--format png,svg,pdf]
                    [out=PATH]

Pictures of finished runs, for papers: readable in black and white and by the colour-blind. KIND is

  ratio       metrics against the deletion ratio, with intervals over training seeds as bands
  tradeoff    score on the forget set against score on the test set; the retrained model's lines cross at
              the ideal
  cost        distance to the retrained model against seconds of unlearning
  relearn     how soon fine-tuning brings the forget set back (runs with evaluation=robust)
  ranks       critical-difference diagram: mean ranks over tasks, what is not told apart joined by a bar
  heat        methods by tasks, shaded from worst to best

Filters choose runs as for `mubench table`. Pictures land in reports/plots/ of the outputs folder.

  metrics=[forget_loss,mia_auc]   of ratio, ranks and heat
  --width page                    as wide as a page (6.9 inches) instead of a column (3.35)
  --format svg,pdf                only these (default: png,svg,pdf)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mubench.commands import arguments, finished
from mubench.errors import UsageError
from mubench.extras import need
from mubench.files import check_outputs

KINDS = ("ratio", "tradeoff", "cost", "relearn", "ranks", "heat")
USUAL = {  # the metrics of a kind unless others are asked for
    "ratio": ("test_accuracy", "test_rougeL", "forget_accuracy", "forget_rougeL", "forget_loss", "mia_auc"),
    "ranks": ("gap_forget_loss", "tow"),
    "heat": ("gap_forget_loss",),
}


def main(argv: Sequence[str]) -> int:
    """Check, draw, save; print the files."""
    typed = arguments.read(argv, {}, ("--width", "--format"))
    out, words = arguments.out_of(typed.words)
    kind, words = _kind(words)
    wanted, rest = finished.filters("plot", words, ("metrics",) if kind in USUAL else ())
    width, formats = _look(typed.options)
    need("mubench plot", "matplotlib", extra="plot")
    check_outputs(out)
    from matplotlib import rc_context

    from mubench.report.plots.style import SETTINGS, save

    with rc_context(SETTINGS):
        for name, drawn in _drawn(kind, out, wanted, rest, width).items():
            for path in save(drawn, out / "reports" / "plots" / f"{kind}-{name}", formats):
                print(path)
    return 0


def _kind(words: Sequence[str]) -> tuple[str, list[str]]:
    from mubench.schema import one_of

    if not words or "=" in words[0]:
        raise UsageError(f"plot takes a kind first: {', '.join(KINDS)} (mubench plot --help)")
    one_of("the kind of a plot", words[0], KINDS)
    return words[0], list(words[1:])


def _look(options: dict[str, str]) -> tuple[str, list[str]]:
    from mubench.report.plots.style import FORMATS, WIDTHS
    from mubench.schema import one_of

    width, formats = options.get("width", "column"), options.get("format", ",".join(FORMATS)).split(",")
    one_of("--width", width, tuple(WIDTHS))
    for form in formats:
        one_of("--format", form, FORMATS)
    return width, formats


def _drawn(
    kind: str, out: Path, wanted: dict[str, str], settings: dict[str, str], width: str
) -> dict[str, Any]:
    """The pictures of a kind by name."""
    from mubench.report.plots import attacked, heat, lines, points, ranking
    from mubench.report.sheets import Sheet, sheets

    if kind == "relearn":
        return attacked.relearning(finished.runs(out, wanted), width)
    draw: dict[str, Callable[[list[Sheet], str], dict[str, Any]]] = {
        "ratio": lines.ratios, "tradeoff": points.tradeoff, "cost": points.cost,
        "ranks": ranking.ranks, "heat": heat.heat,
    }  # fmt: skip
    metrics = arguments.listed(settings["metrics"]) if "metrics" in settings else None
    usual = USUAL.get(kind) or points.wanted(kind)
    return draw[kind](sheets(finished.records(out, wanted), metrics, usual=usual), width)
