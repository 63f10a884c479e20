"""usage: mubench table [key=value ...] [metrics=[NAME,...]] [--sd | --pairs | --ranks | --spread]
                     [--test t|wilcoxon] [--json] [out=PATH]

Finished runs as a table: methods as rows, mean and interval over training seeds. One table for each
task, model and deletion. * is the best of a column, = what a paired test does not tell apart from it.
✓ marks methods whose code and settings passed `mubench verify`. Rows that started from other original models,
or forgot other examples, are not put beside each other: a filter chooses (docs/statistics.md).

  task=digits method=salun,scrub ratio=5   only these
  seed.train=1,2 training.epochs=10        any setting of the runs, by its name in config.yaml
  forget_set.sha256=1a2b3c4d models.original=… fingerprint=…   by eight digits of a hash
  metrics=[test_accuracy,mia_auc]          other columns (names as in the records)
  --sd                ± the standard deviation over training seeds in place of half of the 95 % interval
  --pairs             every two methods: difference, p value, and p value after Holm's correction
  --ranks             mean ranks over the tables, Friedman's test, critical difference
  --spread            how much seeds of each level spread the numbers: variance components
  --test wilcoxon     signed ranks in place of the paired t test
  --json              the same numbers as JSON
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mubench.commands import arguments
from mubench.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from mubench.records import Record
    from mubench.statistics.paired import Test

FLAGS = {f"--{name}": name for name in ("json", "sd", "pairs", "ranks", "spread")}
VIEWS = ("sd", "pairs", "ranks", "spread")
MOST = 3  # damaged records that are named


def main(argv: Sequence[str]) -> int:
    """Choose, group, average, print."""
    typed = arguments.read(argv, FLAGS, ["--test"])
    out, words = arguments.out_of(typed.words)
    views = [view for view in VIEWS if view in typed.flags]
    if len(views) > 1:
        raise UsageError(f"--{views[0]} and --{views[1]} are different views; choose one")
    wanted, metrics = _read(words)
    test = _test(typed.options.get("test", "t"))
    from mubench.report.sheets import sheets
    from mubench.verified import proven

    found = sheets(_records(out, wanted), metrics, test)
    _print(views[0] if views else "", found, proven(out), "json" in typed.flags, test)
    return 0


def _print(view: str, found: Any, proven: Any, as_json: bool, test: Test) -> None:
    from mubench.report import pairs, ranking, spread, table

    if view == "pairs":
        pairs.print_pairs_json(found) if as_json else pairs.print_pairs(found, test)
    elif view == "ranks":
        ranking.print_ranks_json(found) if as_json else ranking.print_ranks(found)
    elif view == "spread":
        spread.print_spreads_json(found) if as_json else spread.print_spreads(found)
    elif as_json:
        table.print_json(found, proven)
    else:
        table.print_tables(found, proven, view == "sd", test)


def _read(words: Sequence[str]) -> tuple[dict[str, str], list[str] | None]:
    """The filters and the metrics; UsageError for what is neither."""
    from mubench.report.settings import KEYS, check_name

    wanted: dict[str, str] = {}
    metrics = None
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise UsageError(
                f"table takes filters such as method=salun, not '{word}'.{did_you_mean(word, KEYS)}"
            )
        if name == "metrics":
            metrics = value.strip("[]").split(",")
        else:
            check_name(name)
            wanted[name] = value
    return wanted, metrics


def _test(name: str) -> Test:
    from mubench.statistics.paired import TESTS

    found = next((test for test in TESTS if test == name), None)
    if found is None:
        raise UsageError(f"--test is {' or '.join(TESTS)}, not '{name}'.{did_you_mean(name, TESTS)}")
    return found


def _records(out: Path, wanted: Mapping[str, str]) -> list[Record]:
    """The complete records that match; what is left out of them is said on stderr."""
    from mubench.files import Corrupt
    from mubench.records import Record, query
    from mubench.report.settings import choose

    found = [record for _, record in query(out)]
    damaged = [str(one) for one in found if isinstance(one, Corrupt)]
    records = [one for one in found if isinstance(one, Record)]
    done = [one for one in records if one.complete]
    damaged += [f"the run {r.fingerprint[:8]} has no metrics or no forget set" for r in done if not _whole(r)]
    matching = choose([one for one in records if not one.complete or _whole(one)], wanted)
    chosen = [one for one in matching if one.complete]
    _warn(damaged, len(matching) - len(chosen))
    if not chosen:
        raise UsageError(f"no finished run in {out} matches ({len(done)} are there)")
    return chosen


def _whole(record: Record) -> bool:
    """Whether a complete record tells what a row needs."""
    return bool(record.metrics.get("unlearned")) and isinstance(record.forget_set.get("sha256"), str)


def _warn(damaged: Sequence[str], failed: int) -> None:
    for text in damaged[:MOST]:
        print(f"mubench: left out: {text}", file=sys.stderr)
    if len(damaged) > MOST:
        print(f"mubench: left out: {len(damaged) - MOST} more damaged records", file=sys.stderr)
    if failed:
        told = "1 run that" if failed == 1 else f"{failed} runs that"
        print(f"mubench: left out: {told} failed or diverged (mubench status)", file=sys.stderr)
