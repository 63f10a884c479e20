"""Unlearned models again: from a run's directory, or from what `mubench push` has uploaded of it."""

from __future__ import annotations

from pathlib import Path

from omegaconf import OmegaConf
from torch import nn

from mubench import artifacts
from mubench.checking import check
from mubench.errors import UsageError
from mubench.files import Corrupt
from mubench.progress import Reporter
from mubench.workbench import Workbench, lay_out

# What an uploaded config lacks: it says nothing of its machine, and nobody tracks a model that is read.
LACKING = {"tracking": {"name": "none", "_target_": "mubench.tracking.base.Tracker"}, "search": {}}


def load(folder: str | Path, *changes: str) -> nn.Module:
    """The unlearned model, in evaluation mode on the device that the config chooses.

    The task's data is read for the network's shape. `changes` are settings such as "out=PATH" or
    "task.source=PATH". An adapter is put on the original model, which is trained again if it is not there.
    UsageError where there are no weights or they do not fit.
    """
    place = Path(folder)
    if not (place / "config.yaml").is_file():
        raise UsageError(f"{place} holds no config.yaml of a run")
    typed = OmegaConf.from_dotlist(list(changes))
    config = check(OmegaConf.merge(LACKING, OmegaConf.load(place / "config.yaml"), typed), [])  # type: ignore[arg-type]
    bench = lay_out(config, Reporter(quiet=True))
    with bench.engine.running():
        return _filled(bench, place / "model" if (place / "model").is_dir() else place)


def _filled(bench: Workbench, folder: Path) -> nn.Module:
    adapted = bench.config.key["adapter"] != "none"
    network = artifacts.obtain(bench, "original").model(bench) if adapted else bench.spec.fresh(0)
    try:
        return bench.engine.place(bench.adapter.load(network, folder)).eval()
    except (Corrupt, RuntimeError, OSError) as error:
        raise UsageError(f"{folder} holds no weights that fit the network: {error}") from error
