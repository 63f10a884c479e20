"""usage: mubench score [RUN ...] [metrics=[NAME,...]] [--json] [--config-dir DIR] [out=PATH]

Compute metrics of finished runs from the predictions that they left: without a model, without torch.
RUN is a run's directory or an outputs folder (all complete runs below it); without one, out=PATH.
Values go into record.json in the place of the old ones; nothing else in it changes, but that `scored`
says when. Metrics over training seeds (ulira, epsilon, klom) go into outputs/cells/, one file for runs
that differ in seeds only. Shadow models are read where `mubench prepare shadows=N` has left them.

  metrics=[lira,rmia]   only these (mubench ls metrics); without it all that can be scored again
  --json                the values as JSON
  --config-dir DIR      a folder with your own methods
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mubench.commands import arguments
from mubench.errors import NotApplicable, UsageError, did_you_mean

if TYPE_CHECKING:
    from mubench.metrics import Metric
    from mubench.scoring import Values

Found = dict[str, Mapping[str, "Values"]]  # by run or cell, then by group
FEWEST = 2  # training seeds of a cell


def main(argv: Sequence[str]) -> int:
    """Check all, then score run by run; 1 if a run could not be scored."""
    typed = arguments.read(argv, {"--json": "json"})
    _ = typed.dirs  # makes a user's methods importable
    out, words = arguments.out_of(typed.words)
    places, names = _read(words)
    from mubench.rescoring import check

    of_runs, of_cells = check(names)
    folders, failures = _runs(places or [out], named=bool(places))
    found = _score_runs(folders, of_runs, failures)
    found |= _score_cells(folders, of_cells, "all" not in names, failures)
    if not found and failures:
        raise failures[0]
    print(json.dumps(found, indent=1)) if "json" in typed.flags else _print(found, "all" in names)
    for error in failures:
        word = "n/a" if isinstance(error, NotApplicable) else "not scored"
        print(f"{word}: {error}", file=sys.stderr)
    return 1 if any(not isinstance(error, NotApplicable) for error in failures) else 0


def _read(words: Sequence[str]) -> tuple[list[Path], list[str]]:
    """Places and names of metrics."""
    places, names = [], ["all"]
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            places.append(Path(word))
        elif name == "metrics":
            names = arguments.listed(value)
        else:
            raise UsageError(f"score has no setting '{name}'.{did_you_mean(name, ('metrics', 'out'))}")
    return places, names


def _runs(places: Sequence[Path], named: bool) -> tuple[list[Path], list[UsageError]]:
    """Directories of complete runs, and what is wrong with others below an outputs folder."""
    from mubench.files import Corrupt
    from mubench.index import query
    from mubench.records import Record

    folders: list[Path] = []
    failures: list[UsageError] = []
    for place in places:
        if (place / "config.yaml").is_file() or (place / "record.json").is_file():
            folders.append(place)
            continue
        below = query(place)
        if not below:
            hint = "" if named else " (mubench score RUN ...)"
            raise UsageError(f"{place} is neither a run's directory nor an outputs folder with runs{hint}")
        failures += [UsageError(str(found)) for _, found in below if isinstance(found, Corrupt)]
        folders += [folder for folder, found in below if isinstance(found, Record) and found.complete]
    if not folders:
        raise failures[0] if failures else UsageError(f"no run in {places[0]} is complete (mubench status)")
    return list(dict.fromkeys(folders)), failures


def _score_runs(folders: Sequence[Path], names: Sequence[str], failures: list[UsageError]) -> Found:
    from mubench.archive import open_run
    from mubench.rescoring import rescore

    found: Found = {}
    for folder in folders if names else ():
        try:
            found[str(folder)] = rescore(open_run(folder), names)
        except UsageError as error:
            failures.append(error)
    return found


def _score_cells(
    folders: Sequence[Path], metrics: Sequence[Metric], named: bool, failures: list[UsageError]
) -> Found:
    """Metrics of the cells that the runs make; if one was asked for by name there must be a cell."""
    from mubench.archive import open_run
    from mubench.records import read
    from mubench.rescoring import cells, rescore_cell

    if not metrics:
        return {}
    records = [(folder, record) for folder in folders if (record := read(folder)) is not None]
    found: Found = {}
    several = [cell for cell in cells(records) if len(cell) >= FEWEST]
    for cell in several:
        try:
            path, values = rescore_cell([open_run(folder) for folder in cell], metrics)
            found[str(path)] = {"cell": values}
        except UsageError as error:
            failures.append(error)
    if named and not several:
        raise UsageError(
            f"metric '{metrics[0].name}' compares runs of several training seeds, with retrained models: "
            "seed.train=1,2,3 -m makes them"
        )
    return found


def _print(found: Found, many: bool) -> None:
    """A line of each value; of all metrics only how many there are."""
    from mubench.report.closing import number

    for place, groups in found.items():
        names = list(dict.fromkeys(name for values in groups.values() for name in values))
        print(f"{place}: {len(names)} values" if many else place)
        width = max(map(len, names), default=0)
        for name in [] if many else names:
            shown = [f"{group} {number(values[name])}" for group, values in groups.items() if name in values]
            print(f"  {name:{width}}  {'  '.join(shown)}")
