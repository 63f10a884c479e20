"""usage: mubench table [key=value ...] [metrics=[NAME,...]] [rows=KEY] [columns=KEY] [--format NAME]
                     [--names papers] [--sd | --pairs | --ranks | --spread] [--test t|wilcoxon] [out=PATH]

Finished runs as a table: methods as rows, mean and interval over training seeds. One table for each
task, model and deletion. * is the best of a column, = what a paired test does not tell apart from it.
✓ marks methods whose code and settings passed `mubench verify`. Rows that started from other original models,
or forgot other examples, are not put beside each other: a filter chooses (docs/statistics.md).

  task=digits method=salun,scrub ratio=5   only these
  seed.train=1,2 training.epochs=10        any setting of the runs, by its name in config.yaml
  forget_set.sha256=1a2b3c4d models.original=… fingerprint=…   by eight digits of a hash
  metrics=[test_accuracy,mia_auc]          other columns (names as in the records, or UA, RA, TA, MIA, RTE)
  group=my-lab,your-lab                    imported runs of these groups, - for your own (docs/submissions.md)
  rows=method columns=task                 other axes: method, metric, task, model, deletion, ratio, adapter,
                                           curriculum, optimizer; comparisons stay within a task and deletion
  --format text       text (default), md, latex (booktabs), csv, json
  --names papers      UA, RA, TA, MIA and the average gap in percent, RTE in minutes, as papers have them
  --sd                ± the standard deviation over training seeds in place of half of the 95 % interval
  --pairs             every two methods: difference, p value, and p value after Holm's correction
  --ranks             mean ranks over the tables, Friedman's test, critical difference
  --spread            how much seeds of each level spread the numbers: variance components
  --test wilcoxon     signed ranks in place of the paired t test
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mubench.commands import arguments, finished
from mubench.errors import UsageError

if TYPE_CHECKING:
    from mubench.records import Record
    from mubench.report.kept_tables import Asked
    from mubench.report.rows import Proven
    from mubench.report.shape import Shape
    from mubench.report.sheets import Sheet
    from mubench.statistics import Test

VIEWS = ("sd", "pairs", "ranks", "spread")
FORMATS = ("text", "md", "latex", "csv", "json")
NAMES = ("ours", "papers")


def main(argv: Sequence[str]) -> int:
    """Choose, group, average, print."""
    typed = arguments.read(argv, {f"--{view}": view for view in VIEWS}, ["--test", "--format", "--names"])
    out, words = arguments.out_of(typed.words)
    views = [view for view in VIEWS if view in typed.flags]
    if len(views) > 1:
        raise UsageError(f"--{views[0]} and --{views[1]} are different views; choose one")
    look = _look(views[0] if views else "", typed.options)
    wanted, rest = finished.filters("table", words, ("metrics", "rows", "columns"))
    metrics = arguments.listed(rest.pop("metrics")) if "metrics" in rest else None
    from mubench.report.kept_tables import Asked, tables
    from mubench.report.shape import Shape

    shape = Shape(**rest, sd=look.view == "sd", papers=look.names == "papers")
    asked = Asked(metrics, shape, look.test)
    if look.form == "text" and look.view in ("", "sd"):
        from mubench.report.printed import print_tables

        print_tables(tables(out, finished.chosen(out, wanted), asked))
    else:
        _print(look, asked, out, finished.runs(out, wanted))
    return 0


class Look(NamedTuple):
    """How the numbers are shown."""

    view: str  # one of VIEWS, or none
    form: str
    names: str
    test: Test


def _look(view: str, options: Mapping[str, str]) -> Look:
    """The options, each one of its names; UsageError for what does not go together."""
    from mubench.schema import one_of
    from mubench.statistics import TESTS

    form, names = options.get("format", "text"), options.get("names", "ours")
    one_of("--format", form, FORMATS)
    one_of("--names", names, NAMES)
    one_of("--test", options.get("test", "t"), TESTS)
    if view in ("pairs", "ranks", "spread") and form not in ("text", "json"):
        raise UsageError(f"--{view} comes as text or json, not as {form}")
    return Look(view, form, names, next(test for test in TESTS if test == options.get("test", "t")))


def _print(look: Look, asked: Asked, out: Path, runs: Sequence[tuple[Path, Record]]) -> None:
    """Print what is not tables in text."""
    from mubench.report import pairs, ranking, spread, table
    from mubench.report.kept_tables import sheets_of
    from mubench.report.proofs import proofs

    found, proven = sheets_of([record for _, record in runs], asked), proofs(out, runs)
    as_json = look.form == "json"
    if look.view == "pairs":
        pairs.print_pairs_json(found) if as_json else pairs.print_pairs(found, look.test)
    elif look.view == "ranks":
        ranking.print_ranks_json(found) if as_json else ranking.print_ranks(found)
    elif look.view == "spread":
        spread.print_spreads_json(found) if as_json else spread.print_spreads(found)
    elif as_json:
        table.print_json(found, proven)
    else:
        print(_written(look, found, proven, asked.shape), end="")


def _written(look: Look, found: list[Sheet], proven: Proven, shape: Shape) -> str:
    """The tables in a format for other programs."""
    from mubench.report import delimited, latex, markdown
    from mubench.report.layout import layouts
    from mubench.report.telling import told

    if look.form == "csv":
        return delimited.delimited(found, proven)
    tables = layouts(found, shape, proven)
    if look.form == "latex":
        return latex.latex(tables, look.test) + "\n"
    marked = any(table.verified for table in tables)
    return markdown.markdown(tables, told(found, marked, shape.sd, look.test)) + "\n"
