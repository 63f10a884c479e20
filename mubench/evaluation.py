"""Predictions of all models on all splits, and the metrics of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np
from torch import nn

from mubench import prediction
from mubench.artifacts import Artifact
from mubench.errors import UsageError, did_you_mean
from mubench.metrics import METRICS, Metric
from mubench.metrics.base import Outputs, Splits, Unavailable, View
from mubench.models import reference_seed
from mubench.workbench import Workbench

Values = dict[str, float | None]
GROUPS = ("unlearned", "original", "retrained")


def chosen(names: Iterable[str]) -> list[Metric]:
    """The metrics of these names, "all" for every one; UsageError with the nearest name."""
    wanted = list(names)
    for name in wanted:
        if name != "all" and name not in METRICS:
            raise UsageError(f"unknown metric '{name}'.{did_you_mean(name, METRICS)} (mubench ls metrics)")
    return [m for m in METRICS.values() if "all" in wanted or m.name in wanted]


def retain_rows(bench: Workbench) -> np.ndarray:
    """The rows of D_r that are scored: all, or a sample fixed by seed.eval."""
    rows, wanted = bench.split.retain, bench.config.settings.evaluation.retain_sample
    if wanted is None or wanted >= len(rows):
        return rows
    rng = np.random.default_rng(bench.config.settings.seed.eval)
    return np.sort(rng.choice(rows, wanted, replace=False))


def splits_of(bench: Workbench, artifact: Artifact) -> Splits:
    """A shared model's stored predictions, forget and retain cut out of the training rows."""
    train = artifact.predictions["train"]
    parts = {"forget": bench.split.forget, "retain": retain_rows(bench)}
    rest = {name: part for name, part in artifact.predictions.items() if name != "train"}
    return {**rest, **{name: prediction.take(train, rows) for name, rows in parts.items()}}


def predict(bench: Workbench, model: nn.Module, names: Iterable[str]) -> Splits:
    """Predictions of a model on the named splits, each once."""
    rows = {"forget": bench.split.forget, "retain": retain_rows(bench)}
    size = bench.config.settings.evaluation.batch_size
    return {
        name: prediction.predict(
            model,
            bench.columns["train" if name in rows else name],
            rows.get(name),
            bench.modality,
            bench.spec.input,
            bench.engine,
            size,
        )
        for name in names
        if name in rows or name in bench.columns
    }


def incompetent(bench: Workbench) -> Splits:
    """Predictions on D_f of the same architecture freshly initialised: the reference of `zrf`."""
    seed = reference_seed(bench.config.settings.seed.eval)
    model = bench.engine.place(bench.spec.fresh(seed))
    return predict(bench, model, ["forget"])


def score(
    evidence: Mapping[str, Splits], metrics: Iterable[Metric], ascent: bool, seed: int
) -> tuple[dict[str, Values | None], dict[str, str]]:
    """Values by role, with "relative" for pairs, and the reasons why values are null."""
    found: dict[str, Values | None] = {role: {} if role in evidence else None for role in GROUPS}
    found["relative"] = {}
    reasons: dict[str, str] = {}
    for metric in metrics:
        roles = ("unlearned",) if metric.scope == "relative" else GROUPS
        for role in roles:
            values = found["relative" if metric.scope == "relative" else role]
            if values is not None:
                view = View(role, evidence, ascent, seed)
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
        return dict.fromkeys(metric.goal if several else [name], str(reason))
    values = result if isinstance(result, dict) else {name: result}
    return {
        key: float(value) if math.isfinite(value) else f"it came out as {value}"
        for key, value in values.items()
    }
