"""usage: mubench prepare [key=value ...] [-m] [--config-dir DIR]

Train the original and retrained models that the same `mubench run` would need, and nothing else.
Takes the overrides of `run`. What is there already is left as it is.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from mubench.commands import arguments
from mubench.commands.run import FLAGS


def main(argv: Sequence[str]) -> int:
    """Each shared model once, whatever the number of cells that need it."""
    typed = arguments.read(argv, FLAGS)
    sys.path += [directory for directory in typed.config_dirs if directory not in sys.path]
    from mubench import artifacts
    from mubench.plan import Planner
    from mubench.progress import Reporter
    from mubench.workbench import lay_out

    planner = Planner(typed.dirs)
    multirun = "multirun" in typed.flags or planner.is_sweep(typed.words)
    for cell in planner.cells(typed.words, multirun):
        bench = lay_out(cell, Reporter())
        with bench.engine.running():
            roles: list[artifacts.Role] = ["original"]
            roles += ["retrained"] if cell.settings.evaluation.reference == "retrain" else []
            for role in roles:
                print(artifacts.obtain(bench, role).folder)
    return 0
