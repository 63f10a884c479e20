"""Predictions of all models on all splits, and the metrics of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from mubench import evidence, generation, penultimate, sensitivity
from mubench.artifacts import Artifact
from mubench.metrics import Metric
from mubench.metrics.base import Splits, View
from mubench.modalities.base import Modality
from mubench.models import reference_seed
from mubench.scoring import Values, chosen, score
from mubench.workbench import Workbench


def gives(modality: Modality, task: Mapping[str, Any]) -> frozenset[str]:
    """What a run on a task leaves to read: a class that means none makes the others positive."""
    positives = {"positives"} if task.get("negative") is not None else set()
    return modality.gives | {"penultimate", "weights"} | positives


def generates(metrics: Iterable[Metric]) -> bool:
    """Whether one of the metrics reads what models write or paint."""
    return any(metric.reads in ("texts", "pictures") for metric in metrics)


def retain_rows(bench: Workbench) -> np.ndarray:
    """The rows of D_r that are scored: all, or a sample fixed by seed.eval."""
    rows, wanted = bench.split.retain, bench.config.settings.evaluation.retain_sample
    if wanted is None:
        return rows
    some: np.ndarray = rows[evidence.sample(len(rows), wanted, bench.config.settings.seed.eval)]
    return some


def rows_of(bench: Workbench) -> dict[str, np.ndarray]:
    """The rows of each split that are scored, within the columns they are cut from."""
    whole = {name: np.arange(len(part)) for name, part in bench.columns.items() if name != "train"}
    return {**whole, "forget": bench.split.forget, "retain": retain_rows(bench)}


def of_artifact(bench: Workbench, artifact: Artifact, metrics: Sequence[Metric]) -> Splits:
    """A shared model's predictions, with what some of the metrics read besides."""
    found = cut(bench, artifact)
    return completed(bench, found, metrics, cache(lambda: artifact.model(bench)), artifact.folder)


def cut(bench: Workbench, artifact: Artifact) -> Splits:
    """A shared model's stored predictions, forget and retain cut out of the training rows."""
    return {
        name: evidence.take(artifact.predictions["train"], rows)
        if name in ("forget", "retain") else artifact.predictions[name]
        for name, rows in rows_of(bench).items()
    }  # fmt: skip


def predictions(bench: Workbench, model: nn.Module) -> Splits:
    """Predictions of a model on every split, each once."""
    return {name: bench.predict(model, name, rows) for name, rows in rows_of(bench).items()}


def of_model(bench: Workbench, model: nn.Module, metrics: Sequence[Metric]) -> Splits:
    """A model's predictions, with what some of the metrics read besides."""
    return completed(bench, predictions(bench, model), metrics, lambda: model)


def completed(
    bench: Workbench, splits: Splits, metrics: Sequence[Metric], model: Callable[[], nn.Module],
    folder: Path | None = None,
) -> Splits:  # fmt: skip
    """The splits with what some of the metrics read besides; a shared model's folder keeps it."""
    rows, kept = rows_of(bench), folder and folder / "generated"
    if generates(metrics):
        splits = generation.complete(bench, splits, rows, model, kept)
    if any(metric.reads == "gradients" for metric in metrics):
        splits = sensitivity.complete(bench, splits, rows, model, kept)
    if any(metric.reads == "penultimate" for metric in metrics):
        splits = penultimate.complete(bench, splits, rows, model, kept)
    return splits


def incompetent(bench: Workbench) -> Splits:
    """Predictions on D_f of the same architecture freshly initialised: the reference of `zrf`."""
    seed = reference_seed(bench.config.settings.seed.eval)
    model = bench.engine.place(bench.spec.fresh(seed))
    return {"forget": bench.predict(model, "forget", bench.split.forget)}


def measure(bench: Workbench, network: nn.Module, rows: Mapping[str, np.ndarray]) -> Values:
    """Every metric of a split that needs nothing generated, on some rows of some splits."""
    splits = {name: bench.predict(network, name, some) for name, some in rows.items()}
    reads = gives(bench.modality, bench.config.settings.task) - {"texts", "pictures"}
    metrics = [metric for metric in chosen(["all"], reads) if metric.scope == "split"]
    values, _ = score(View("unlearned", {"unlearned": splits}), metrics)
    return values["unlearned"] or {}
