"""What a run leaves: its predictions scored beside those of the models it is measured by, and all on disk."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mubench import compatibility, costs, distances, evaluation, records, scoring
from mubench.artifacts import Artifact
from mubench.attacks import campaign
from mubench.evidence import save as save_predictions
from mubench.evidence import save_distances, save_rows
from mubench.files import write_atomically
from mubench.meters import Cost
from mubench.methods.base import Method
from mubench.metrics.base import Curves, Distances, Metric, Splits, View
from mubench.records import Record
from mubench.run import Run
from mubench.workbench import Workbench


@dataclass(frozen=True)
class Unlearned:
    """What a method made of the original, and the models that it is measured by."""

    bench: Workbench
    method: Method
    run: Run
    cost: Cost
    original: Artifact
    retrained: Artifact | None
    shadows: Mapping[str, Sequence[Splits]]  # predictions of shadow models, by role


def judge(made: Unlearned, found: Splits, record: Record, started: float) -> None:
    """Score the predictions `found`, and leave everything of the run but its record.

    `started`: the moment (time.perf_counter) at which its evaluation began.
    """
    bench, cost, folder = made.bench, made.cost, made.bench.config.run_dir
    metrics = compatibility.metrics(bench.config, bench.modality)
    evidence = _evidence(made, found, metrics)
    curves = campaign.carry_out(bench, made.run.model, made.original, made.retrained)
    apart = _distances(made, metrics)
    view = View(
        "unlearned", evidence, made.method.ascends, bench.config.settings.seed.eval, made.shadows,
        curves=curves, distances=apart,
    )  # fmt: skip
    record.metrics, record.reasons = scoring.score(view, metrics)
    cost.add("evaluate_seconds", time.perf_counter() - started)
    _bill(record, made)
    _store(bench, made.run, evidence["unlearned"], curves)
    if apart is not None:
        save_distances(apart, folder)
    if folder.joinpath("checkpoints").is_dir():
        shutil.rmtree(folder / "checkpoints")


def _evidence(made: Unlearned, found: Splits, metrics: Sequence[Metric]) -> dict[str, Splits]:
    """What each model says of the data, as far as the metrics read it."""
    bench = made.bench
    evidence = {
        "original": evaluation.of_artifact(bench, made.original, metrics),
        "unlearned": evaluation.completed(bench, found, metrics, lambda: made.run.model),
    }
    if made.retrained is not None:
        evidence["retrained"] = evaluation.of_artifact(bench, made.retrained, metrics)
    if any("incompetent" in metric.needs for metric in metrics):
        evidence["incompetent"] = evaluation.incompetent(bench)
    return evidence


def _distances(made: Unlearned, metrics: Sequence[Metric]) -> Distances | None:
    """Those between the weights of all models at hand, if a metric reads them."""
    if not any(metric.reads == "weights" for metric in metrics):
        return None
    shared = [one for one in (made.original, made.retrained) if one is not None]
    return distances.measure(made.bench, made.run.model, {str(one.role): one.folder for one in shared})


def _bill(record: Record, made: Unlearned) -> None:
    """The run's cost beside that of the data and of the models that it is measured by."""
    retrained = made.retrained.cost if made.retrained else None
    inherits, works = made.method.starts_from == "retrained", bool(made.method.needs)
    cost = costs.beside_training(made.cost, made.original.cost, retrained, inherits, works)
    cost.numbers["encode_seconds"] = made.bench.data.facts["encode_seconds"]
    record.cost = cost.numbers
    record.reasons |= {f"cost.{name}": reason for name, reason in cost.reasons.items()}


def _store(bench: Workbench, run: Run, predictions: Splits, curves: dict[str, dict[str, Curves]]) -> None:
    """Everything of the run but its record, which seals it."""
    folder = bench.config.run_dir
    ids = bench.data["train"].ids[bench.split.forget]
    write_atomically(folder / "forget_ids.npy", lambda path: _save_array(path, ids))
    save_predictions(predictions, folder / "predictions.safetensors")
    rows = evaluation.rows_of(bench)
    save_rows({name: rows[name] for name in ("forget", "retain")}, folder)
    if curves:
        records.write_curves(folder, curves)
    if bench.config.settings.save_model:
        bench.adapter.save(run.model, folder / "model")
    bench.reporter.write_history(folder / "history.jsonl")


def _save_array(path: Path, array: np.ndarray) -> None:
    with path.open("wb") as stream:
        np.save(stream, array)
