"""What a command line asks to search for: spaces and runs checked before any work."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from mubench import catalog, evaluation
from mubench.checking import check
from mubench.compatibility import check as check_parts
from mubench.config import RunConfig
from mubench.data import Dataset
from mubench.errors import NotApplicable, UsageError
from mubench.keys import check_key
from mubench.metrics import METRICS
from mubench.overrides import parse
from mubench.plan import Planner
from mubench.progress import Reporter
from mubench.schema import Seeds
from mubench.search.judging import SCORES
from mubench.search.objective import Objective
from mubench.search.space import PARTS, SHARE, Settings, Space, read
from mubench.typed import component
from mubench.workbench import lay_out

# The forget set that trials are judged on, with an original and a retrained model of its own.
SEEDS = ("seed.forget=1042", "seed.train=${seed.forget}", "seed.unlearn=${seed.forget}")
REPORTED = (Seeds().forget, 87, 21, 100, 13)  # seed.forget of `run` and of sweep=paper
# What a search sets itself, or leaves alone.
FIXED = {
    "recipe": "a search starts from the method's own yaml",
    "evaluation": "trials are judged by losses and accuracies alone",
    "sweep": "name the methods, tasks and seeds themselves, such as -m method=salun,scrub",
    "attack": "trials are judged by losses and accuracies alone",
    "shadows": "trials are judged without shadow models",
    "hydra": "to share a search start the same command more than once",
    "force": "a trial that is finished is not repeated",
    "save_model": "the models of trials are not kept",
}


@dataclass(frozen=True)
class Asked:
    """A method on one kind of task: its runs as it is, and what may be changed."""

    method: str
    modality: str
    objective: Objective
    space: Space
    own: Settings
    forgets: bool


def asked(
    planner: Planner, words: Sequence[str], multirun: bool, out: str
) -> tuple[list[Asked], dict[str, NotApplicable]]:
    """The searches of a command line, and those that do not apply, by what they are.

    Words that begin with `task=` name a task each, with settings of its own where the word is quoted.
    """
    places, spaces, common = _told_apart(words)
    cells: dict[str, RunConfig] = {}
    for place in places:
        typed = [*SEEDS, "recipe=none", f"out={out}", *common, *place]
        found = (_scored(cell, planner) for cell in planner.cells(typed, multirun))
        cells |= {cell.fingerprint: cell for cell in found}
    groups: dict[tuple[str, str], list[RunConfig]] = {}
    for cell in cells.values():
        groups.setdefault((cell.key["method"], cell.key["modality"]), []).append(cell)
    searches, refused = [], {}
    for (method, modality), some in groups.items():
        try:
            searches.append(_asked(method, modality, Objective(planner, tuple(some)), spaces))
        except NotApplicable as reason:
            refused[f"{method} on {modality}"] = reason
    return searches, refused


def check_apart(objectives: Sequence[Objective], reporter: Reporter) -> None:
    """UsageError for a forget set that reports use: settings would be chosen by what they are judged on.

    Needs the data, but no model.
    """
    every = {_deleted(cell): (cell, one.planner.dirs) for one in objectives for cell in one.cells}
    for cell, dirs in every.values():
        bench = lay_out(cell, reporter)
        mine = set(bench.split.forget.tolist())
        for theirs in _reported(cell, dirs, bench.data):
            if mine <= theirs or theirs <= mine:
                raise UsageError(
                    f"deletion={cell.key['deletion']} on {cell.key['task']}: reports use this forget set, or "
                    "one that holds it or lies in it; search on another, such as that of deletion=random"
                )


def _reported(cell: RunConfig, dirs: Sequence[Path], data: Dataset) -> Iterator[set[int]]:
    """The forget sets that reports use with the deletion as its yaml is; none for one that needs a file."""
    name = cell.key["deletion"]
    loaded = OmegaConf.to_container(OmegaConf.load(catalog.path_of("deletion", name, dirs)))
    assert isinstance(loaded, dict)
    node = {str(key): value for key, value in loaded.items()}
    for seed in REPORTED:
        try:
            yield set(component(node, "deletion").choose(data, seed).forget.tolist())
        except UsageError:
            return


def _deleted(cell: RunConfig) -> str:
    return f"{cell.resolved['task']} {cell.resolved['deletion']} {cell.settings.seed.forget}"


def _told_apart(words: Sequence[str]) -> tuple[list[list[str]], dict[str, Any], list[str]]:
    """Tasks with the settings of their own, the spaces typed, and what is common to all."""
    places = [shlex.split(word) for word in words if word.startswith("task=")]
    spaces = {
        override.key_or_group.removeprefix("search."): override.value()
        for override in parse([word for word in words if word.startswith("search.")])
    }
    common = [word for word in words if not word.startswith(("task=", "search."))]
    for word in [*common, *(word for place in places for word in place)]:
        name = re.split(r"[=.@/]", word.lstrip("+~"))[0]
        if name in FIXED:
            raise UsageError(f"{word} does nothing here: {FIXED[name]}")
    return places or [[]], spaces, common


def _scored(cell: RunConfig, planner: Planner) -> RunConfig:
    """The same run with what trials are judged by, and nothing else."""
    gives = evaluation.gives(component(cell.settings.modality, "modality"), cell.settings.task)
    metrics = [name for name in ("loss", *SCORES) if METRICS[name].reads in gives]
    tree = {**cell.resolved, "search": cell.settings.search}
    tree["evaluation"] = {**tree["evaluation"], "metrics": metrics, "retain_sample": 100}
    words = [f"evaluation.metrics=[{','.join(metrics)}]", "evaluation.retain_sample=100"]
    return check(OmegaConf.create(tree), [*cell.overrides, *words], planner.dirs)


def _asked(method: str, modality: str, objective: Objective, spaces: Mapping[str, Any]) -> Asked:
    for cell in objective.cells:
        check_parts(cell)
    first = objective.cells[0]
    typed = {word.lstrip("+~").partition("=")[0] for word in first.overrides}
    node = {**{str(name): values for name, values in first.settings.search.items()}, **spaces}
    space = read({name: values for name, values in node.items() if name not in typed})
    for name, values in space.items():
        _check_name(name, first)
        for value in values.ends:
            _check_value(name, value, first, objective.planner)
    if not space:
        raise NotApplicable(f"method '{method}' has nothing to search (mubench show method {method})")
    forgets = "forget" in component(first.settings.method, "method").needs
    fixed = sorted(name for name in typed if name.startswith(("unlearning.", "method.")))
    return Asked(method, modality, objective, space, _own(first, [*space, *fixed]), forgets)


def _check_name(name: str, cell: RunConfig) -> None:
    """UsageError for a setting that there is none, with the nearest name, or that no search may change."""
    if name.partition(".")[0] not in PARTS:
        raise UsageError(f"search.{name}: only settings of {', '.join(PARTS)} can be searched")
    check_key(parse([f"{name}=null"])[0], OmegaConf.create(cell.resolved))


def _check_value(name: str, value: Any, cell: RunConfig, planner: Planner) -> None:
    """UsageError for a value that the setting cannot take."""
    tree = OmegaConf.create({**cell.resolved, "search": {}})
    if name == SHARE and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise UsageError(f"search.{name}: a share of training.lr is a number; not '{value}'")
    OmegaConf.update(tree, name, value * cell.settings.training.lr if name == SHARE else value)
    try:
        check_parts(check(tree, cell.overrides, planner.dirs))
    except NotApplicable:
        raise
    except UsageError as error:
        raise UsageError(f"search.{name}={value}: {error}") from error


def _own(cell: RunConfig, names: Sequence[str]) -> Settings:
    """The values of what is searched, or was typed, in the method as it is."""
    rates, tree = (cell.settings.unlearning.lr, cell.settings.training.lr), OmegaConf.create(cell.resolved)
    return {
        name: float(f"{rates[0] / rates[1]:.6g}") if name == SHARE else OmegaConf.select(tree, name)
        for name in names
    }
