"""Original and retrained models: found by their fingerprint, or trained once under a lock."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from mubench import evidence, models
from mubench.data import Stream
from mubench.engine import PeakMemory
from mubench.environment import now, versions
from mubench.files import Corrupt, clear_leftovers, locked, seal, unseal, writing
from mubench.metrics.base import Splits
from mubench.training import Effort, Fit, Pass
from mubench.workbench import Workbench

Role = Literal["original", "retrained"]


@dataclass(frozen=True)
class Artifact:
    """A trained model on disk: its weights, its predictions on every split, what it took."""

    role: Role
    folder: Path
    predictions: Splits  # train (all rows), validation, test
    cost: dict[str, float]

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
        with writing(folder), locked(folder.with_suffix(".lock"), waiting):
            found = stored(bench, role, warn=False) or _train(bench, role, folder)
    return found


def stored(bench: Workbench, role: Role, warn: bool = True) -> Artifact | None:
    """The model on disk, None if there is none; a damaged one is named and counts as none."""
    folder = bench.config.model_dir(role)
    try:
        content = unseal(folder, ["cost"])
    except Corrupt as error:
        if warn:
            bench.reporter.warn(f"{error}; the {role} model is trained again")
        return None
    if content is None:
        return None
    return Artifact(role, folder, evidence.load(folder / "predictions.safetensors"), content["cost"])


def _train(bench: Workbench, role: Role, folder: Path) -> Artifact:
    config, engine = bench.config, bench.engine
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "record.json").unlink(missing_ok=True)
        clear_leftovers(folder)
    rows = bench.rows("train" if role == "original" else "retain")
    started, memory = now(), PeakMemory(engine.device)
    model, effort = _make(bench, role, rows, folder / "checkpoint.pt")
    predictions = predict_all(bench, model)
    models.save(model, folder / "model.safetensors")
    evidence.save(predictions, folder / "predictions.safetensors")
    content: dict[str, Any] = {
        "role": role,
        "fingerprint": config.model_fingerprint(role),
        "config": config.resolved,
        "examples": len(rows),
        "cost": {**cost_of(effort), **memory.read()},
        "environment": {**versions(), **engine.describe()},
        "started": started,
        "finished": now(),
    }
    seal(folder, ["model.safetensors", "predictions.safetensors"], content)
    (folder / "checkpoint.pt").unlink(missing_ok=True)
    return Artifact(role, folder, predictions, content["cost"])


def _make(bench: Workbench, role: Role, rows: torch.Tensor, checkpoint: Path) -> tuple[nn.Module, Effort]:
    """The model, trained on the rows; an original that somebody published is taken as it is."""
    published, say = bench.config.settings.original, bench.reporter.say
    if role == "original" and published:
        say(f"Taking the original model from {published}")
        return bench.engine.place(bench.spec.published(published)), Effort()
    say(f"Training the {role} model on {len(rows):,} examples")
    model = bench.engine.place(bench.spec.start(bench.config.settings.seed.train))
    return model, fit(bench, model, rows, checkpoint, role)


def fit(bench: Workbench, model: nn.Module, rows: torch.Tensor, checkpoint: Path, title: str) -> Effort:
    """Train on some training rows by the task's recipe, in place."""
    recipe, modality = bench.config.settings.training, bench.modality
    stream = Stream(bench.columns["train"], rows, recipe.batch_size, bench.engine.device)

    def prepare(batch: Any, generator: torch.Generator) -> Any:
        return modality.prepare(batch, bench.spec.input, generator)

    def loss(batch: Any) -> torch.Tensor:
        return modality.losses(modality.logits(model, batch), batch.targets).mean()

    passes = [Pass(stream, loss)] * recipe.epochs
    seed = bench.config.settings.seed.train
    return Fit(
        model, passes, recipe, bench.engine, seed, bench.reporter, title, prepare,
        checkpoint=checkpoint,
    ).run()  # fmt: skip


def predict_all(bench: Workbench, model: nn.Module) -> Splits:
    """Predictions on all training rows, validation and test."""
    return {name: bench.predict(model, name) for name in bench.columns}


def cost_of(effort: Effort) -> dict[str, float | None]:
    """A training's effort as a record's numbers."""
    return {
        "seconds": effort.seconds,
        "steps": effort.steps,
        "examples": effort.examples,
        "examples_per_second": effort.examples / effort.seconds if effort.examples else None,
        "flops": effort.flops,
    }
