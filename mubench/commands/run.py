"""usage: mubench run [key=value ...] [-m] [--dry-run] [--config-dir DIR]

One run of an unlearning method: trains (or finds) the original and the retrained model, unlearns,
evaluates, and leaves a record. Repeating a command skips what is complete.

  method=NAME task=NAME model=NAME deletion=NAME     choices (mubench ls)
  deletion.ratio=5          percent of the training set to forget
  seed.unlearn=1            seeds: forget, train, unlearn, eval
  evaluation.reference=none without the retrained model (retrain | cached | none)
  out=PATH                  another folder than outputs/
  force=true                repeat a complete run
  save_model=true           keep the unlearned weights
  -m, --multirun            lists such as method=salun,scrub become a sweep
  sweep=NAME                a named sweep (mubench ls sweeps)
  --dry-run                 print the resolved config, or a sweep's plan; train nothing
  --config-dir DIR          a folder with your own method/, task/, model/ yamls, importable too
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mubench.checking import check
from mubench.commands import arguments
from mubench.config import RunConfig
from mubench.errors import RunFailed, UsageError, unexpected
from mubench.files import check_outputs, writing

if TYPE_CHECKING:  # Hydra takes a third of a second: not for --help
    from mubench.plan import Planner

Outcome = tuple[RunConfig, UsageError | RunFailed | None]  # the error, None where all went well
FLAGS = {"-m": "multirun", "--multirun": "multirun", "--dry-run": "dry-run"}


@dataclass(frozen=True)
class Command:
    """What was typed, planned and checked."""

    planner: Planner
    words: list[str]
    cells: list[RunConfig]
    multirun: bool
    dry: bool


def main(argv: Sequence[str]) -> int:
    """Check everything, then launch; 1 if a run failed."""
    command = planned(argv)
    if command.dry:
        return print_plan(command.cells, command.multirun)
    with writing(command.cells[0].out):
        outcomes = launch(command.planner, command.words, command.multirun)
    return conclude(outcomes, command.multirun)


def planned(argv: Sequence[str]) -> Command:
    """The runs that a command line asks for; UsageError for whatever is wrong with it."""
    from mubench.plan import Planner

    typed = arguments.read(argv, FLAGS)
    planner = Planner(typed.dirs)
    multirun = "multirun" in typed.flags or planner.is_sweep(typed.words)
    cells = planner.cells(typed.words, multirun)
    check_all(cells)
    return Command(planner, typed.words, cells, multirun, "dry-run" in typed.flags)


def check_all(cells: Sequence[RunConfig]) -> None:
    """What composing does not see is found before the first cell starts; UsageError for it."""
    from mubench.checking import component
    from mubench.evaluation import chosen

    for cell in cells:
        for group in ("deletion", "method", "adapter"):
            component(getattr(cell.settings, group), group)
        chosen(cell.settings.evaluation.metrics, component(cell.settings.modality, "modality").gives)
    for out in {cell.out for cell in cells}:
        check_outputs(out)


def print_plan(cells: Sequence[RunConfig], multirun: bool) -> int:
    """The resolved config of a single run, or the plan of a sweep."""
    if not multirun:
        from omegaconf import OmegaConf

        print(OmegaConf.to_yaml(cells[0].resolved), end="")
        return 0
    from mubench.report.plan import plan_lines

    print("\n".join(plan_lines(cells)))
    return 0


def launch(planner: Planner, words: Sequence[str], multirun: bool) -> list[Outcome]:
    """Let Hydra compose and launch each cell; what became of each, in order."""
    import hydra

    from mubench import catalog
    from mubench.experiment import run
    from mubench.plan import search_path
    from mubench.progress import Reporter
    from mubench.report.closing import closing

    outcomes: list[Outcome] = []

    def job(composed: Any) -> None:
        from hydra.core.hydra_config import HydraConfig

        config = check(composed, HydraConfig.get().overrides.task)
        try:
            closing(run(config, Reporter()), config.run_dir)
            outcomes.append((config, None))
        except Exception as error:  # whatever it is, the other cells go on
            failure = error if isinstance(error, UsageError | RunFailed) else unexpected(error)
            outcomes.append((config, failure))
            if multirun:
                print(f"mubench: {failure}", file=sys.stderr)

    overrides = [*search_path(planner.dirs), *planner.overrides(words)]
    sys.argv = ["mubench", *overrides, *(["--multirun"] if multirun else [])]
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # errors reach us as they are
    packaged = str(catalog.packaged_dir())
    hydra.main(version_base="1.3", config_path=packaged, config_name="run")(job)()
    return outcomes


def conclude(outcomes: Sequence[Outcome], multirun: bool) -> int:
    """The exit status; a sweep lists its failures, a single run's failure is raised."""
    failed = [(config, error) for config, error in outcomes if error is not None]
    if not multirun:
        for _, error in failed:
            raise error
        return 0
    done = len(outcomes) - len(failed)
    print(f"{len(outcomes)} runs: {done} complete, {len(failed)} failed", file=sys.stderr)
    for config, error in failed:
        print(f"  {config.run_dir}: {error}", file=sys.stderr)
    return 1 if failed else 0
