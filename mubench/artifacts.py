"""Original and retrained models: found by their fingerprint, or trained once under a lock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from mubench import costs, evidence, models, processes
from mubench.config import model_lock
from mubench.data import Stream
from mubench.effort import Effort
from mubench.environment import now, versions
from mubench.files import Corrupt, clear_leftovers, seal, unseal, writing
from mubench.layout import laid_out, together
from mubench.meters import Cost, Meter
from mubench.metrics.base import Splits
from mubench.training import Fit, Pass
from mubench.workbench import Workbench

Role = Literal["original", "retrained"]


@dataclass(frozen=True)
class Artifact:
    """A trained model on disk: its weights, its predictions on every split, what it took."""

    role: Role
    folder: Path
    predictions: Splits  # train (all rows), validation, test
    cost: Cost

    def model(self, bench: Workbench) -> nn.Module:
        """The network with these weights, on the device."""
        network = bench.spec.fresh(bench.config.settings.seed.train)
        return bench.engine.place(models.load(network, self.folder / "model.safetensors"))


def obtain(bench: Workbench, role: Role) -> Artifact:
    """The model of this role: from disk if it is whole there, else trained now, by one process only."""
    folder = bench.config.model_dir(role)

    def waiting() -> None:
        bench.reporter.say(f"Waiting for another process to train the {role} model")

    found = stored(bench, role)
    if found is None:
        with writing(folder), processes.locked(model_lock(folder), waiting):
            found = stored(bench, role, warn=False) or _train(bench, role, folder)
    return found


def stored(bench: Workbench, role: Role, warn: bool = True) -> Artifact | None:
    """The model on disk, None if there is none; a damaged one is named and counts as none."""
    return read(bench, role, bench.config.model_dir(role), f"the {role} model" if warn else None)


def read(bench: Workbench, role: Role, folder: Path, title: str | None) -> Artifact | None:
    """The model in a folder, None if there is none or it is damaged; that is told if it has a title."""
    try:
        content = processes.shared(lambda: unseal(folder, ["cost"]))
    except Corrupt as error:
        if title is not None:
            bench.reporter.warn(f"{error}; {title} is trained again")
        return None
    if content is None:
        return None
    cost = Cost(content["cost"], content.get("reasons", {}))
    return Artifact(role, folder, evidence.load(folder / "predictions.safetensors"), cost)


def _train(bench: Workbench, role: Role, folder: Path) -> Artifact:
    processes.shared(lambda: begin(folder))
    rows = rows_of(bench, role)
    started, meter = now(), Meter(bench.engine.device)
    model, effort = _make(bench, role, rows, folder / "checkpoint.pt")
    bench.engine.synchronise()
    cost = costs.of_training(effort, meter)
    predictions = keep(bench, folder, model)
    facts = {"role": role, "fingerprint": bench.config.model_fingerprint(role)}
    finish(bench, folder, cost, {**facts, "examples": len(rows), "started": started})
    processes.shared(lambda: (folder / "checkpoint.pt").unlink(missing_ok=True))
    return Artifact(role, folder, predictions, cost)


def rows_of(bench: Workbench, role: Role) -> torch.Tensor:
    """The training rows (n,) that a model of this role is trained on."""
    return bench.rows("train" if role == "original" else "retain")


def begin(folder: Path) -> None:
    """Make a folder for a model; one that is there no longer counts as whole. The caller holds its lock."""
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "record.json").unlink(missing_ok=True)
        clear_leftovers(folder)


def keep(bench: Workbench, folder: Path, model: nn.Module) -> Splits:
    """Store a model's weights, and its predictions on all training rows, validation and test."""
    predictions = {name: bench.predict(model, name) for name in bench.columns}
    whole = together(model, lambda: bench.spec.fresh(bench.config.settings.seed.train))

    def write() -> None:
        models.save(whole, folder / "model.safetensors")
        evidence.save(predictions, folder / "predictions.safetensors")

    processes.shared(write)
    return predictions


def finish(bench: Workbench, folder: Path, cost: Cost, facts: Mapping[str, Any]) -> None:
    """Seal what was kept with its record, written last."""
    content = {
        **facts,
        "config": bench.config.resolved,
        "cost": cost.numbers,
        "reasons": cost.reasons,
        "environment": {**versions(), **bench.engine.describe()},
        "finished": now(),
    }
    processes.shared(lambda: seal(folder, ["model.safetensors", "predictions.safetensors"], content))


def _make(bench: Workbench, role: Role, rows: torch.Tensor, checkpoint: Path) -> tuple[nn.Module, Effort]:
    """The model, trained on the rows; an original that somebody published is taken as it is."""
    published, say = bench.config.settings.original, bench.reporter.say
    if role == "original" and published:
        say(f"Taking the original model from {published}")
        return laid_out(bench.engine.place(bench.spec.published(published))), Effort()
    say(f"Training the {role} model on {len(rows):,} examples")
    seed = bench.config.settings.seed.train
    model = laid_out(bench.engine.place(bench.spec.start(seed)))
    return model, fit(bench, model, rows, checkpoint, role, seed)


def fit(
    bench: Workbench, model: nn.Module, rows: torch.Tensor, checkpoint: Path | None, title: str, seed: int
) -> Effort:
    """Train on some training rows by the task's recipe, in place."""
    recipe, modality = bench.config.settings.training, bench.modality
    stream = Stream(bench.columns["train"], rows, recipe.batch_size, bench.engine.device)

    def prepare(batch: Any, generator: torch.Generator) -> Any:
        return modality.prepare(batch, bench.spec.input, generator)

    def loss(batch: Any) -> torch.Tensor:
        return modality.losses(modality.logits(model, batch), batch.targets).mean()

    passes = [Pass(stream, loss)] * recipe.epochs
    return Fit(
        model, passes, recipe, bench.engine, seed, bench.reporter, title, prepare,
        checkpoint=checkpoint,
    ).run()  # fmt: skip
