"""What a sweep will do, in words: what is done, what is to do, and how long that may take."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean

from mubench import facts
from mubench.config import RunConfig
from mubench.errors import NotApplicable
from mubench.files import Corrupt
from mubench.index import Brief, briefs
from mubench.records import finished

# What records call the seconds of the shared models of a role.
TRAININGS = {"original": "original_seconds", "retrained": "retrain_seconds"}
Seconds = dict[tuple[str, ...], list[float]]  # task, model, and a method or a role


def is_complete(cell: RunConfig) -> bool:
    """Whether this very run has left a whole record and whole files, and need not be forced."""
    try:
        return not cell.settings.force and finished(cell.run_dir) is not None
    except Corrupt:
        return False


def is_recorded(cell: RunConfig, known: Mapping[Path, Brief]) -> bool:
    """The same without reading the files: that each is there is enough for a plan of thousands of runs.

    The command itself reads them, and repeats a run with a damaged one.
    """
    run = known.get(cell.run_dir)
    if cell.settings.force or run is None or run.status != "complete":
        return False
    return all((run.folder / name).is_file() for name in json.loads(run.files))


def models_of(cell: RunConfig) -> list[Path]:
    """Directories of the original, retrained and shadow models that a run needs."""
    return list(_roles(cell))


def _roles(cell: RunConfig) -> dict[Path, str]:
    reference = cell.settings.evaluation.reference == "retrain"
    needed = {cell.model_dir(role): role for role in (TRAININGS if reference else ("original",))}
    return needed | {folder: role for role in TRAININGS for folder in cell.shadow_dirs(role)}


def to_train(cells: Iterable[RunConfig]) -> dict[Path, tuple[RunConfig, str]]:
    """Directories of shared models that are still to be trained: a run that needs each, and its role."""
    needed = {folder: (cell, role) for cell in cells for folder, role in _roles(cell).items()}
    return {folder: need for folder, need in needed.items() if not (folder / "record.json").is_file()}


def shared_models(cells: Iterable[RunConfig]) -> list[str]:
    """Directories of original, retrained and shadow models that are still to be trained."""
    return [str(folder) for folder in to_train(cells)]


def plan_lines(
    cells: Sequence[RunConfig], refused: Sequence[tuple[RunConfig, NotApplicable]] = ()
) -> list[str]:
    """ "60 runs: 18 complete, 40 to do, 2 n/a, 2 shared models to train", the time, and a line for each."""
    known = {run.folder: run for out in {cell.out for cell in cells} for run in briefs(out)}
    waiting = [cell for cell in cells if not is_recorded(cell, known)]
    models = to_train(waiting)
    plural = "" if len(models) == 1 else "s"
    left_out = f"{len(refused)} n/a, " if refused else ""
    lines = [
        f"{len(cells) + len(refused)} runs: {len(cells) - len(waiting)} complete, {len(waiting)} to do, "
        f"{left_out}{len(models)} shared model{plural} to train"
    ]
    lines += [estimate(waiting, list(models.values()), known.values())] if waiting else []
    lines += [f"  to train  {folder}" for folder in models]
    pending = {id(cell) for cell in waiting}
    lines += [f"  {'to do   ' if id(cell) in pending else 'complete'}  {cell.run_dir}" for cell in cells]
    return lines + [f"  n/a       {cell.run_dir}: {reason}" for cell, reason in refused]


def estimate(
    cells: Sequence[RunConfig], models: Sequence[tuple[RunConfig, str]], known: Iterable[Brief]
) -> str:
    """How long the work may take, one run after another, by earlier records of the same task and model."""
    inherit = {cell.key["method"] for cell in cells if _inherits(cell)}
    seconds = _earlier(known, inherit)
    asked = [(cell.key["task"], cell.key["model"], cell.key["method"]) for cell in cells]
    trained = [(cell.key["task"], cell.key["model"], TRAININGS[role]) for cell, role in models]
    told = [fmean(seconds[name]) for name in (*asked, *trained) if name in seconds]
    unknown = sum(name not in seconds for name in asked), sum(name not in seconds for name in trained)
    words = zip(unknown, ("run", "model"), strict=True)
    missing = " and ".join(f"{n} {word}{'' if n == 1 else 's'}" for n, word in words if n)
    if not told:
        return "time unknown: no earlier record of these tasks, models and methods"
    without = f"; no earlier record of {missing}, which come on top" if missing else ""
    return f"about {duration(sum(told))} one after another, by earlier records{without}"


def _inherits(cell: RunConfig) -> bool:
    """Whether a method's cost is that of the retrained model, which is shared and counted there."""
    return bool(facts.of(str(cell.settings.method["_target_"])).get("starts_from") == "retrained")


def _earlier(known: Iterable[Brief], inherit: Collection[str]) -> Seconds:
    """Seconds of runs by task, model and method, of trainings by task, model and what records call them."""
    found: Seconds = defaultdict(list)
    for run in known:
        if run.status != "complete":
            continue
        cost, (task, model, method) = json.loads(run.cost), run.kind
        own = ["evaluate_seconds", *([] if method in inherit else ["unlearn_seconds"])]
        if all(cost.get(name) is not None for name in own):
            found[task, model, method].append(sum(cost[name] for name in own))
        for name in TRAININGS.values():
            if cost.get(name) is not None:
                found[task, model, name].append(cost[name])
    return dict(found)


def duration(seconds: float) -> str:
    """As people say it: 40 s, 12 min, 3.5 h, 2.1 days."""
    for unit, size in (("days", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"
