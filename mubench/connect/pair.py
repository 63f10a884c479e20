"""Two unlearned models that lie in run directories, checked to be of one task, network and forget set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from torch import nn

from mubench import artifacts, records
from mubench.checking import check
from mubench.config import RunConfig
from mubench.errors import UsageError
from mubench.files import Corrupt
from mubench.progress import Reporter
from mubench.records import Record
from mubench.workbench import Workbench, lay_out

# What two runs must share, and where their records say it.
SHARED: dict[str, Callable[[Record], Any]] = {
    "task": lambda record: record.key["task"],
    "model": lambda record: record.key["model"],
    "forget set": lambda record: record.forget_set["sha256"][:8],
    "adapter": lambda record: record.key["adapter"],
    "data": lambda record: record.data["identity"],
    "settings of the model": lambda record: record.config["model"],
    "settings of the adapter": lambda record: record.config["adapter"],
}


@dataclass(frozen=True)
class Pair:
    """The runs' records, what the first worked with, and both networks on the device."""

    folders: tuple[Path, Path]
    records: tuple[Record, Record]
    bench: Workbench
    networks: tuple[nn.Module, nn.Module]


def read(folders: Sequence[Path]) -> tuple[Record, Record]:
    """The records of two runs; UsageError in one sentence if there is no path to walk between them."""
    first, last = (_record(folder) for folder in folders)
    for what, of in SHARED.items():
        if of(first) != of(last):
            raise UsageError(f"the runs differ in their {what}: {_shown(of(first))} and {_shown(of(last))}")
    return first, last


def load(folders: tuple[Path, Path], out: Path | None, reporter: Reporter) -> Pair:
    """Both models; the outputs folder is where the first run lies, unless `out` names another."""
    found = read(folders)
    configs = [_config(record, folder, out) for record, folder in zip(found, folders, strict=True)]
    bench = lay_out(configs[0], reporter)
    if bench.split.sha256 != found[0].forget_set["sha256"]:
        raise UsageError(f"{folders[0]}: its settings choose another forget set by now")
    _same_base(configs)
    with bench.engine.running():
        networks = [_network(bench, folder) for folder in folders]
    return Pair(folders, found, bench, (networks[0], networks[1]))


def _record(folder: Path) -> Record:
    record = records.complete(folder)
    if not any(name.startswith("model/") for name in record.files):
        typed = " ".join(record.overrides)
        raise UsageError(
            f"{folder} kept no weights; repeat it: mubench run {typed} save_model=true force=true"
        )
    return record


def _config(record: Record, folder: Path, out: Path | None) -> RunConfig:
    """The run's config, its outputs folder where the run lies now; nothing is compiled."""
    config = check(OmegaConf.create(record.config), record.overrides)
    depth = len(config.run_dir.relative_to(config.out).parts)
    above = folder.absolute().parents
    place = out or (above[depth - 1] if len(above) >= depth else config.out)
    moved = OmegaConf.create({**record.config, "out": str(place)})
    moved.trainer.compile = False  # the network is called with weights from outside
    return check(moved, record.overrides)


def _same_base(configs: Sequence[RunConfig]) -> None:
    """Under an adapter only what it added is on the path: the weights beneath must be the same."""
    first, last = (config.model_fingerprint("original") for config in configs)
    if configs[0].key["adapter"] != "none" and first != last:
        raise UsageError(
            f"the runs differ in the original model under their adapters: {first[:8]} and {last[:8]}"
        )


def _network(bench: Workbench, folder: Path) -> nn.Module:
    original = artifacts.obtain(bench, "original").model(bench)
    try:
        return bench.adapter.load(original, folder / "model").eval()
    except (Corrupt, RuntimeError) as error:
        raise UsageError(f"{folder / 'model'} does not fit the network: {error}") from error


def _shown(value: Any) -> str:
    return f"'{value}'" if isinstance(value, str) else str(value)


def weights(network: nn.Module) -> dict[str, torch.Tensor]:
    """The weights that unlearning moved, detached, by name."""
    return {name: weight.detach() for name, weight in network.named_parameters() if weight.requires_grad}
