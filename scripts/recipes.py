"""Recipes: for each method and kind of task, the settings found by an equal-budget search.

    python scripts/recipes.py 'task=digits seed.forget=1042,1043' task=mini/cifar100 --methods salun,scrub

An argument is what `mubench run -m` would be told but the method: a task and, where reports might use the
same forget set, another. Every trial runs on all of them. The space is the node `search` of run.yaml and
of the method's yaml; the first trial is the method's yaml as it is. What scored best is written to
configs/recipe/<method>/<modality>.yaml, which `mubench run` reads by itself. docs/recipes.md says how
trials are judged. Runs that are complete below --out are not repeated, so that a search can be resumed.

    python scripts/recipes.py --table     the table of docs/recipes.md, from the recipes there are
"""

from __future__ import annotations

import argparse
import math
import re
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from statistics import mean

from omegaconf import OmegaConf

from mubench import catalog, evaluation
from mubench.checking import component
from mubench.config import RunConfig
from mubench.errors import NotApplicable, RunFailed
from mubench.experiment import run
from mubench.metrics import METRICS
from mubench.plan import Planner
from mubench.progress import Reporter
from mubench.records import Record
from mubench.search import (
    DESTROYED,
    EPOCHS,
    SCORES,
    SHARE,
    Trial,
    gentler,
    judged,
    means,
    roles,
    score_of,
    trials,
    typed,
)
from mubench.stages import check


@dataclass(frozen=True)
class Search:
    """One search: its tasks, its budget, where its runs and what it finds go."""

    tasks: tuple[str, ...]
    trials: int
    out: str
    into: Path
    planner: Planner

    def of(self, method: str) -> str:
        """Search for one method and write its recipe; a line on what came of it."""
        try:
            cells = self.cells(method, {})
            for cell in cells:
                check(cell)
        except NotApplicable as reason:
            return f"n/a: {reason}"
        tried = trials(cells[0].settings.search, self.trials)
        if not tried:
            return "nothing to search"
        scores = [self.score(method, trial) for trial in tried]
        whole = [{**_as_it_is(cells[0], tried[-1]), **trial} for trial in tried]
        forgets = "forget" in component(cells[0].settings.method, "method").needs
        for trial in gentler(whole[scores.index(min(scores))], forgets) if min(scores) >= DESTROYED else ():
            tried, whole = [*tried, trial], [*whole, trial]
            scores.append(self.score(method, trial))
            if scores[-1] < DESTROYED:
                break
        place = scores.index(min(scores))
        if not math.isfinite(scores[place]):
            return "every trial failed"
        told = f"{len(tried)} trials: {scores[0]:.2f} as it is, {scores[place]:.2f} at best"
        best = whole[place]
        path = self.into / method / f"{cells[0].key['modality']}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join([*self.header(method, cells[0], best, tried[place], told), _yaml(best)]))
        return f"{told}: {described(best)}"

    def score(self, method: str, trial: Trial) -> float:
        """Mean distance over the tasks; infinite if a run failed."""
        try:
            score = mean(judged(records) for records in self.records(method, trial))
        except RunFailed as error:
            print(f"  {method} {trial}: {error}", file=sys.stderr)
            return math.inf
        print(f"  {method} {described(trial) or 'as it is'}: {score:.3f}", flush=True)
        return score

    def records(self, method: str, trial: Trial) -> list[list[Record]]:
        """The records of a trial, by task; runs that are complete are read."""
        found: dict[str, list[Record]] = {}
        for cell in self.cells(method, trial):
            found.setdefault(cell.key["task"], []).append(run(cell, Reporter(quiet=True)))
        return list(found.values())

    def cells(self, method: str, trial: Trial) -> list[RunConfig]:
        """The runs of a trial on every task."""
        return [cell for task in self.tasks for cell in self._cells(task, method, trial)]

    def _cells(self, task: str, method: str, trial: Trial) -> list[RunConfig]:
        seeds = ["seed.forget=1042", "seed.train=${seed.forget}", "seed.unlearn=${seed.forget}"]
        scored = [
            f"evaluation.metrics=[{','.join(metrics_of(self.planner, task))}]",
            "evaluation.retain_sample=100",
        ]
        fixed = [f"method={method}", "recipe=none", f"out={self.out}", *scored, *seeds]
        return self.planner.cells([*fixed, *typed(trial), *shlex.split(task)], multirun=True)

    def header(self, method: str, first: RunConfig, best: Trial, trial: Trial, told: str) -> list[str]:
        """The comment lines of a recipe: what, by which command, with which numbers."""
        command = " ".join(map(shlex.quote, [*self.tasks, "--methods", method, "--trials", str(self.trials)]))
        return [
            "# @package _global_",
            f"# {method} on {first.key['modality']}: {described(best)}",
            f"# python scripts/recipes.py {command}",
            f"# {datetime.now(UTC):%Y-%m-%d}, {told}",
            *(f"# {line}" for records in self.records(method, trial) for line in numbers(records)),
        ]


@cache
def metrics_of(planner: Planner, task: str) -> list[str]:
    """The metrics that trials on a task are judged by."""
    (cell, *_) = planner.cells(shlex.split(task), multirun=True)
    gives = evaluation.gives(component(cell.settings.modality, "modality"), cell.settings.task)
    return [name for name in ("loss", *SCORES) if METRICS[name].reads in gives]


def numbers(records: Sequence[Record]) -> list[str]:
    """What one task's runs came to, as lines of a recipe's header."""
    original, goal, found = (means(models) for models in zip(*map(roles, records), strict=True))
    loss = [f"{values['forget_loss']:.4f}" for values in (original, found, goal)]
    lines = [f"{records[0].key['task']}: forget loss {loss[0]} -> {loss[1]}, retrained {loss[2]};"]
    score = score_of(found)
    name = f"validation_{score or 'loss'}"
    cells = [
        f"{100 * values[name]:.1f} %" if score else f"{values[name]:.4f}"
        for values in (original, found, goal)
    ]
    return [*lines, f"  {name.replace('_', ' ')} {cells[0]} -> {cells[1]}, retrained {cells[2]}"]


def described(trial: Trial) -> str:
    """A trial in words."""
    words = {SHARE: "{} of the training rate", EPOCHS: "{} epochs"}
    return ", ".join(
        words[name].format(value) if name in words else f"{name.removeprefix('method.')} {value}"
        for name, value in trial.items()
    )


def _as_it_is(cell: RunConfig, searched: Trial) -> Trial:
    """The values that the method's own yaml gives to what was searched."""
    rates = cell.settings.unlearning.lr, cell.settings.training.lr
    tree = OmegaConf.create(cell.resolved)
    return {
        name: float(f"{rates[0] / rates[1]:.6g}") if name == SHARE else OmegaConf.select(tree, name)
        for name in sorted(searched, key=lambda name: (name.startswith("method."), name != SHARE, name))
    }


def _yaml(settings: Trial) -> str:
    tree = OmegaConf.create()
    for name, value in settings.items():
        OmegaConf.update(tree, name, f"${{mul:${{training.lr}},{value}}}" if name == SHARE else value)
    return OmegaConf.to_yaml(tree)


# The table ----------------------------------------------------------------------------------------


def table(folder: Path) -> list[str]:
    """Markdown lines: the share of the training rate and the epochs of each recipe, method by modality."""
    cells: dict[tuple[str, str], str] = {}
    for path in sorted(folder.glob("*/**/*.yaml")):
        text = path.read_text(encoding="utf-8")
        share, epochs = re.search(r"lr: .*,([\d.e-]+)}", text), re.search(r"epochs: (\d+)", text)
        shown = f"{share[1]} × {epochs[1]}" if share and epochs else "own settings"
        cells[path.parent.relative_to(folder).as_posix(), path.stem] = shown
    methods, kinds = (sorted({key[place] for key in cells}) for place in (0, 1))
    rows = [["method", *kinds], ["---"] * (len(kinds) + 1)]
    rows += [[method, *(cells.get((method, kind), "") for kind in kinds)] for method in methods]
    return [f"| {' | '.join(row)} |" for row in rows]


def main() -> None:
    """Parse the flags, search method by method."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tasks", nargs="*", metavar="TASK")
    parser.add_argument("--methods", default="*", metavar="NAMES", help="names or globs, comma between")
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--out", default="search", help="folder for the runs")
    parser.add_argument("--into", type=Path, default=catalog.packaged_dir() / "recipe")
    parser.add_argument("--table", action="store_true")
    arguments = parser.parse_args()
    if arguments.table:
        print("\n".join(table(arguments.into)))
        return
    dirs = catalog.config_dirs()
    search = Search(tuple(arguments.tasks), arguments.trials, arguments.out, arguments.into, Planner(dirs))
    for method in catalog.names("method", dirs):
        if any(fnmatch(method, glob) for glob in arguments.methods.split(",")):
            print(f"{method}: {search.of(method)}", flush=True)


if __name__ == "__main__":
    main()
