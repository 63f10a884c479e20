"""What a sweep will do, in words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mubench.config import RunConfig
from mubench.errors import NotApplicable
from mubench.files import Corrupt
from mubench.records import finished


def is_complete(cell: RunConfig) -> bool:
    """Whether this very run has left a whole record and whole files, and need not be forced."""
    try:
        return not cell.settings.force and finished(cell.run_dir) is not None
    except Corrupt:
        return False


def models_of(cell: RunConfig) -> list[Path]:
    """Directories of the original, retrained and shadow models that a run needs."""
    reference = cell.settings.evaluation.reference == "retrain"
    needed = [cell.model_dir(role) for role in (("original", "retrained") if reference else ("original",))]
    return needed + [folder for role in ("original", "retrained") for folder in cell.shadow_dirs(role)]


def shared_models(cells: Sequence[RunConfig]) -> list[str]:
    """Directories of original, retrained and shadow models that are still to be trained."""
    needed = dict.fromkeys(folder for cell in cells for folder in models_of(cell))
    return [str(path) for path in needed if not (path / "record.json").is_file()]


def plan_lines(
    cells: Sequence[RunConfig], refused: Sequence[tuple[RunConfig, NotApplicable]] = ()
) -> list[str]:
    """ "60 runs: 18 complete, 40 to do, 2 n/a, 2 shared models to train", and a line for each run."""
    to_do = [cell for cell in cells if not is_complete(cell)]
    models = shared_models(to_do)
    plural = "" if len(models) == 1 else "s"
    left_out = f"{len(refused)} n/a, " if refused else ""
    lines = [
        f"{len(cells) + len(refused)} runs: {len(cells) - len(to_do)} complete, {len(to_do)} to do, "
        f"{left_out}{len(models)} shared model{plural} to train"
    ]
    waiting = {id(cell) for cell in to_do}
    lines += [f"  {'to do   ' if id(cell) in waiting else 'complete'}  {cell.run_dir}" for cell in cells]
    return lines + [f"  n/a       {cell.run_dir}: {reason}" for cell, reason in refused]
