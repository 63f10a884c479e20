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
  hydra/launcher=parallel   several runs at a time on this machine: one per GPU, or the cores shared out
  hydra/launcher=slurm      jobs of a SLURM cluster (mubench show launcher slurm; docs/clusters.md)
  --config-dir DIR          a folder with your own method/, task/, model/ yamls, importable too;
                            one of the same name takes the place of mubench's
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from mubench import failing, processes
from mubench.commands import arguments
from mubench.config import RunConfig
from mubench.errors import NotApplicable, RunFailed, UsageError
from mubench.files import check_outputs, writing

if TYPE_CHECKING:  # Hydra takes a third of a second: not for --help
    from mubench.launching.base import Errand, Launcher, Outcome
    from mubench.plan import Planner
    from mubench.plans import Plan

FLAGS = {"-m": "multirun", "--multirun": "multirun", "--dry-run": "dry-run"}


@dataclass(frozen=True)
class Command:
    """What was typed, planned and checked."""

    dirs: list[Path]
    words: list[str]
    cells: list[RunConfig]  # those to run
    refused: list[tuple[RunConfig, NotApplicable]]  # those of a sweep that do not apply
    multirun: bool
    dry: bool

    @cached_property
    def planner(self) -> Planner:
        """What composes cells of these folders."""
        from mubench.plan import Planner

        return Planner(self.dirs)


def main(argv: Sequence[str]) -> int:
    """Check everything, then launch; 1 if a run failed."""
    command = planned(argv, launches=True)
    if command.dry and len(command.dirs) == 1 and not any("hydra" in word for word in command.words):
        return print_plan(command, command.multirun)
    launcher, errand = launching(command)
    if command.dry:
        return print_plan(command, command.multirun)
    with writing(command.cells[0].out):
        outcomes = launcher.launch(errand)
    return 0 if outcomes is None else conclude([*outcomes, *command.refused], command.multirun)


def planned(argv: Sequence[str], launches: bool = False) -> Command:
    """The runs that a command line asks for; UsageError for whatever is wrong with it.

    `launches`: whether the command lets a launcher do them, or works in its own process.
    """
    from mubench import plans

    typed = arguments.read(argv, FLAGS)
    for word in typed.words:
        if _is_launching(word) and not launches:
            raise UsageError(
                f"{word} does nothing here: mubench run launches, models that runs share included"
            )
    dirs, out, dry = typed.dirs, arguments.out_of(typed.words)[0], "dry-run" in typed.flags
    key = plans.key_of(typed.words, "multirun" in typed.flags, dirs)
    plan = plans.recall(out, key) if key else None
    if plan is not None:
        check_outputs(out)
    else:
        plan = _plan(typed, dirs)
        if key and (plan.multirun or dry):  # a single run needs no plan that outlives it
            plans.keep(out, key, plan)
    return Command(dirs, typed.words, plan.cells, plan.refused, plan.multirun, dry)


def _is_launching(word: str) -> bool:
    return word.lstrip("+").startswith(("hydra/launcher", "hydra.launcher"))


def _plan(typed: arguments.Arguments, dirs: list[Path]) -> Plan:
    """The cells composed and checked."""
    from mubench.plan import Planner
    from mubench.plans import Plan

    planner = Planner(dirs)
    multirun = "multirun" in typed.flags or planner.is_sweep(typed.words)
    cells = planner.cells(typed.words, multirun)
    refused = check_all(cells)
    if len(refused) == len(cells):
        raise UsageError(f"none of {len(cells)} runs: {refused[0][1]}") if multirun else refused[0][1]
    left_out = {id(cell) for cell, _ in refused}
    return Plan(multirun, [cell for cell in cells if id(cell) not in left_out], refused)


def check_all(cells: Sequence[RunConfig]) -> list[tuple[RunConfig, NotApplicable]]:
    """The cells that do not apply, with the reason; UsageError for whatever else composing does not see."""
    from mubench.compatibility import check as check_parts
    from mubench.typed import Known

    refused, known = [], Known()
    for cell in cells:
        try:
            check_parts(cell, known)
        except NotApplicable as reason:
            refused.append((cell, reason))
    for out in {cell.out for cell in cells}:
        check_outputs(out)
    return refused


def launching(command: Command) -> tuple[Launcher, Errand]:
    """The chosen launcher, its settings checked, and what it is to do."""
    from mubench.launching.base import Errand
    from mubench.typed import component

    node, folder = command.planner.launcher(command.words)
    launcher: Launcher = component(node, "hydra.launcher")
    if processes.launched() > 1 and node["name"] != "sequential":
        raise UsageError(f"hydra/launcher={node['name']} starts processes of its own: leave one of both out")
    return launcher, Errand(command.planner, command.cells, command.multirun, folder)


def attempted(work: Callable[[], None]) -> int:
    """Work on one cell of a sweep, for its exit status; a failure is told, and the others go on."""
    try:
        work()
    except (UsageError, RunFailed) as raised:
        error = failing.agreed(raised)
        if failing.parted():
            raise error from raised
        print(f"mubench: {error}", file=sys.stderr)
        return 0 if isinstance(error, NotApplicable) else 1
    return 0


def print_plan(command: Command, multirun: bool) -> int:
    """The resolved config of a single run, or the plan of a sweep."""
    if not multirun:
        from omegaconf import OmegaConf

        print(OmegaConf.to_yaml(command.cells[0].resolved), end="")
        return 0
    from mubench.report.plan import plan_lines

    print("\n".join(plan_lines(command.cells, command.refused)))
    return 0


def conclude(outcomes: Sequence[Outcome], multirun: bool) -> int:
    """The exit status; a sweep lists its failures and what did not apply, a single run's is raised."""
    ended = [(config, error) for config, error in outcomes if error is not None]
    if not multirun:
        for _, error in ended:
            raise error
        return 0
    left_out = [(config, error) for config, error in ended if isinstance(error, NotApplicable)]
    failed = len(ended) - len(left_out)
    told = f"{len(outcomes)} runs: {len(outcomes) - len(ended)} complete, {failed} failed"
    print(told + (f", {len(left_out)} n/a" if left_out else ""), file=sys.stderr)
    for config, error in ended:
        word = "n/a  " if isinstance(error, NotApplicable) else ""
        print(f"  {word}{config.run_dir}: {error}", file=sys.stderr)
    return 1 if failed else 0
