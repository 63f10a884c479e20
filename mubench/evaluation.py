"""Predictions of all models on all splits, and the metrics of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from mubench import generation, penultimate, prediction, sensitivity
from mubench.artifacts import Artifact
from mubench.errors import NotApplicable, UsageError, did_you_mean
from mubench.metrics import METRICS, Metric
from mubench.metrics.base import Curves, Distances, Outputs, Splits, Unavailable, View
from mubench.modalities.base import Modality
from mubench.models import reference_seed
from mubench.workbench import Workbench

Values = dict[str, float | None]
GROUPS = ("unlearned", "original", "retrained")


def chosen(names: Iterable[str], gives: frozenset[str], attacks: Collection[str] = ()) -> list[Metric]:
    """The metrics of a run of these names, "all" for every one that applies to what the modality gives.

    UsageError with the nearest name for an unknown one or one of several runs; NotApplicable for one
    that cannot apply. `attacks` are made in this run: metrics of others are not among all.
    """
    wanted = list(names)
    for name in wanted:
        if name != "all" and name not in METRICS:
            raise UsageError(f"unknown metric '{name}'.{did_you_mean(name, METRICS)} (mubench ls metrics)")
        if name != "all" and METRICS[name].scope == "cell":
            raise UsageError(
                f"metric '{name}' compares runs of several seeds: mubench score RUN... metrics=[{name}]"
            )
        if name != "all" and METRICS[name].attack not in ("", *attacks):
            raise UsageError(
                f"metric '{name}' reads what the attack '{METRICS[name].attack}' leaves: evaluation=robust"
            )
        if name != "all" and METRICS[name].reads not in gives:
            raise NotApplicable(
                f"metric '{name}' reads {METRICS[name].reads}; this task gives {', '.join(sorted(gives))}"
            )
    return [
        m for m in METRICS.values()
        if m.name in wanted
        or ("all" in wanted and m.reads in gives and m.scope != "cell" and m.attack in ("", *attacks))
    ]  # fmt: skip


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
    if wanted is None or wanted >= len(rows):
        return rows
    rng = np.random.default_rng(bench.config.settings.seed.eval)
    return np.sort(rng.choice(rows, wanted, replace=False))


def rows_of(bench: Workbench) -> dict[str, np.ndarray]:
    """The rows of each split that are scored, within the columns they are cut from."""
    whole = {name: np.arange(len(part)) for name, part in bench.columns.items() if name != "train"}
    return {**whole, "forget": bench.split.forget, "retain": retain_rows(bench)}


def of_artifact(bench: Workbench, artifact: Artifact, metrics: Sequence[Metric]) -> Splits:
    """A shared model's stored predictions, forget and retain cut out of the training rows."""
    rows = rows_of(bench)
    found = {
        name: prediction.take(artifact.predictions["train"], rows[name])
        if name in ("forget", "retain") else artifact.predictions[name]
        for name in rows
    }  # fmt: skip
    return _completed(bench, found, metrics, cache(lambda: artifact.model(bench)), artifact.folder)


def of_model(bench: Workbench, model: nn.Module, metrics: Sequence[Metric]) -> Splits:
    """Predictions of a model on every split, each once."""
    rows = rows_of(bench)
    found = {name: bench.predict(model, name, rows[name]) for name in rows}
    return _completed(bench, found, metrics, lambda: model, None)


def _completed(
    bench: Workbench, splits: Splits, metrics: Sequence[Metric], model: Callable[[], nn.Module],
    folder: Path | None,
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
    values, _ = score({"unlearned": splits}, metrics, False, 0)
    return values["unlearned"] or {}


def score(
    evidence: Mapping[str, Splits],
    metrics: Iterable[Metric],
    ascent: bool,
    seed: int,
    curves: Mapping[str, Mapping[str, Curves]] | None = None,
    distances: Distances | None = None,
) -> tuple[dict[str, Values | None], dict[str, str]]:
    """Values by role, with "relative" for pairs, and the reasons why values are null.

    `curves` are what attacks left, by role and attack; `distances` are those of the models' weights.
    """
    found: dict[str, Values | None] = {role: {} if role in evidence else None for role in GROUPS}
    found["relative"] = {}
    reasons: dict[str, str] = {}
    for metric in metrics:
        roles = ("unlearned",) if metric.scope == "relative" else GROUPS
        for role in roles:
            values = found["relative" if metric.scope == "relative" else role]
            if values is not None:
                view = View(role, evidence, ascent, seed, curves=curves or {}, distances=distances)
                group = "relative" if metric.scope == "relative" else role
                for name, value in _values(metric, view).items():
                    values[name] = value if isinstance(value, float) else None
                    if isinstance(value, str):
                        reasons[f"{group}.{name}"] = value
    return found, reasons


def _values(metric: Metric, view: View) -> dict[str, float | str]:
    """A metric's numbers by name; a sentence in place of a number that cannot be computed."""
    if metric.scope != "split":
        return _call(metric, metric.name, view)
    values: dict[str, float | str] = {}
    for split, outputs in view.models[view.role].items():
        values |= _call(metric, f"{split}_{metric.name}", outputs)
    return values


def _call(metric: Metric, name: str, argument: View | Outputs) -> dict[str, float | str]:
    try:
        result = metric.function(argument)
    except Unavailable as reason:
        several = metric.scope != "split" and not isinstance(metric.goal, str)
        return dict.fromkeys((several and metric.goal) or [name], str(reason))
    values = result if isinstance(result, dict) else {name: result}
    return {
        key: float(value) if math.isfinite(value) else f"it came out as {value}"
        for key, value in values.items()
    }
