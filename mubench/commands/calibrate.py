"""usage: mubench calibrate [key=value ...] [-m] [--dry-run] [--config-dir DIR]

Which metrics to believe: how well each tells models that were trained on the deleted examples from
models that never saw them. N originals and N retrained models of other training seeds (shadow models;
trained where missing, as by `mubench prepare`) are scored as if they were unlearned models, as trained,
rounded to 4 bits, and after one more epoch on the retain set. Leaves calibration.json below
calibrations/ of the outputs folder; docs/calibration.md says how to read it.

  shadows=N                   models of each role (default: 8, at least 3)
  task=NAME deletion.ratio=5  task, model, deletion, training and evaluation as for `run`
  evaluation.metrics=[...]    only these
  force=true                  again
  --dry-run                   the plan, with the models to train
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mubench.commands.run import attempted, planned, print_plan
from mubench.errors import UsageError

if TYPE_CHECKING:
    from mubench.config import RunConfig

FEWEST, USUAL = 3, 8
# Settings of unlearning: there is none here.
IDLE = ("method", "adapter", "curriculum", "unlearning", "optimizer", "attack")


def main(argv: Sequence[str]) -> int:
    """Check all, then calibrate cell by cell; 1 if one of several could not be."""
    default = [] if any(word.startswith("shadows=") for word in argv) else [f"shadows={USUAL}"]
    command = planned([*argv, *default])
    _refuse(command.words, command.cells)
    if command.dry:
        return print_plan(command, multirun=True)
    if not command.multirun:
        _calibrate(command.cells[0])
        return 0
    return max([attempted(partial(_calibrate, cell)) for cell in command.cells])


def _refuse(words: Sequence[str], cells: Sequence[RunConfig]) -> None:
    """UsageError for settings that would do nothing, and for too few models."""
    for word in words:
        if word.lstrip("+~").partition("=")[0].partition(".")[0].partition("@")[0] in IDLE:
            raise UsageError(f"{word} does nothing here: calibrate unlearns nothing")
    for cell in cells:
        if cell.settings.evaluation.attacks:
            raise UsageError("calibrate makes no attacks on the forgetting: leave out evaluation=robust")
        if cell.settings.shadows < FEWEST:
            raise UsageError(f"shadows={cell.settings.shadows}: calibrate takes {FEWEST} or more")


def _calibrate(cell: RunConfig) -> None:
    """Read what is there, or measure it; print it."""
    from mubench.calibration import keeping
    from mubench.report.calibration import print_calibration

    path = keeping.place(cell)
    found = None if cell.settings.force else keeping.read(path)
    if found is None:
        found = _measured(cell, path)
    else:
        print(f"already complete: {path}", file=sys.stderr)
    print_calibration(found)
    print(path)


def _measured(cell: RunConfig, path: Path) -> dict[str, object]:
    from mubench.calibration.keeping import keep
    from mubench.calibration.measure import gather, measure
    from mubench.progress import Reporter
    from mubench.workbench import lay_out

    bench = lay_out(cell, Reporter())
    with bench.engine.running():
        return keep(path, bench, measure(bench, gather(bench)))
