"""usage: mubench prepare [key=value ...] [-m] [--dry-run] [--config-dir DIR]

Train the original and retrained models that the same `mubench run` would need, and nothing else.
Takes the overrides of `run`. What is there already is left as it is.

  shadows=16        also 16 originals and 16 retrained models at other training seeds: shadow models, which
                    attacks on membership (LiRA, RMIA) and the noise of seeds are worked out from; as many
                    at a time as is fastest (trainer.at_once)

  --dry-run         print the plan of `run`, with the number of models to train; train nothing
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from mubench.commands.run import attempted, planned, print_plan
from mubench.config import RunConfig


def main(argv: Sequence[str]) -> int:
    """Each shared model once, whatever the number of cells that need it; 1 if one could not be trained."""
    command = planned(argv)
    if command.dry:
        return print_plan(command, multirun=True)
    if not command.multirun:
        _prepare(command.cells[0], set())
        return 0
    done: set[Path] = set()
    return max([attempted(partial(_prepare, cell, done)) for cell in command.cells])


def _prepare(cell: RunConfig, done: set[Path]) -> None:
    """Train or find the models of one cell that are not in `done`; print their folders."""
    from mubench.launching.preparing import prepare
    from mubench.report.plan import models_of

    wanted = set(models_of(cell)) - done
    prepare(cell, wanted)
    done |= wanted
