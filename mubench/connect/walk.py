"""Walking a path: its middle trained, batch statistics made anew at each point, predictions measured."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from mubench import evaluation
from mubench.connect.curves import CURVES, TRAINED, Curve, point
from mubench.connect.pair import Pair, weights
from mubench.data import Batch, Stream
from mubench.gradients import Elsewhere
from mubench.metrics import goal_of
from mubench.metrics.robustness import barrier
from mubench.scoring import Values
from mubench.training import Fit, Pass, train_mode
from mubench.workbench import Workbench

SPLITS = ("forget", "retain", "test")


@dataclass(frozen=True)
class Plan:
    """How finely paths are looked at, and how their middles are trained."""

    points: int = 11  # at equal steps of t, both ends among them
    epochs: int = 5
    rows: str = "retain"  # retain | train: what middles are trained on, and statistics are made of
    seed: int = 42


def connect(pair: Pair, plan: Plan) -> dict[str, Any]:
    """Along each curve {t, values by name}, barriers, and both models as they were saved."""
    bench, ends = pair.bench, (weights(pair.networks[0]), weights(pair.networks[1]))
    network = copy.deepcopy(pair.networks[0])
    saved = [measure(bench, model) for model in pair.networks]
    first, last = (_at(bench, network, end, plan) for end in ends)
    t = [number / (plan.points - 1) for number in range(plan.points)]
    curves: dict[str, Any] = {}
    for name, curve in CURVES.items():
        middle = {n: (ends[0][n] + ends[1][n]) / 2 for n in ends[0]}
        if name in TRAINED:
            middle = train(bench, network, curve, (ends[0], middle, ends[1]), plan, name)
        inner = [_at(bench, network, point(curve, at, ends[0], middle, ends[1]), plan) for at in t[1:-1]]
        curves[name] = {"t": t, **_columns([first, *inner, last])}
    barriers = {name: _barriers(curve) for name, curve in curves.items()}
    return {"as_saved": saved, "distance": _distance(*ends), "curves": curves, "barriers": barriers}


def train(
    bench: Workbench,
    network: nn.Module,
    curve: Curve,
    points: tuple[Mapping[str, Tensor], Mapping[str, Tensor], Mapping[str, Tensor]],
    plan: Plan,
    title: str,
) -> dict[str, Tensor]:
    """The middle that makes the mean loss along the curve small, by the task's recipe; one t a batch."""
    first, start, last = points
    _fill(network, start)
    moving = {name: weight for name, weight in network.named_parameters() if weight.requires_grad}
    draws = torch.Generator().manual_seed(plan.seed + 1)
    modality = bench.modality

    def loss(batch: Batch) -> Tensor:
        t = float(torch.rand((), generator=draws))
        there: Any = Elsewhere(network, point(curve, t, first, moving, last))
        return modality.losses(modality.logits(there, batch), batch.targets).mean()

    recipe = replace(bench.config.settings.training, epochs=plan.epochs)
    passes = [Pass(_stream(bench, plan.rows, recipe.batch_size), loss)] * plan.epochs
    Fit(
        network, passes, recipe, bench.engine, plan.seed, bench.reporter, f"the middle of {title}",
        lambda batch, generator: modality.prepare(batch, bench.spec.input, generator),
    ).run()  # fmt: skip
    return {name: weight.detach().clone() for name, weight in moving.items()}


def measure(bench: Workbench, network: nn.Module) -> Values:
    """Every metric of a split that needs nothing generated, on D_f, D_r and the test set."""
    rows = evaluation.rows_of(bench)
    return evaluation.measure(bench, network, {name: rows[name] for name in SPLITS})


def _at(bench: Workbench, network: nn.Module, there: Mapping[str, Tensor], plan: Plan) -> Values:
    _fill(network, there)
    renew_statistics(bench, network, plan.rows)
    return measure(bench, network)


@torch.no_grad()
def _fill(network: nn.Module, values: Mapping[str, Tensor]) -> None:
    for name, weight in network.named_parameters():
        if name in values:
            weight.copy_(values[name])


def _stream(bench: Workbench, rows: str, size: int) -> Stream:
    return Stream(bench.columns["train"], bench.rows(rows), size, bench.engine.device)


@torch.no_grad()
def renew_statistics(bench: Workbench, network: nn.Module, rows: str) -> None:
    """Means and variances of batch normalisation over all rows of a set: no point of a path has its own yet.

    Those of layers that an adapter holds still stay as they are, as in unlearning.
    """
    train_mode(network)
    norms = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._NormBase) and m.training]
    network.eval()
    kept = [(norm, norm.momentum) for norm in norms if norm.track_running_stats]
    for norm, _ in kept:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over all batches, each alike
        norm.train()
    size = bench.config.settings.training.batch_size
    for batch in _stream(bench, rows, size).batches(None) if kept else ():
        prepared = bench.modality.prepare(batch, bench.spec.input, None)
        with bench.engine.autocast():
            bench.modality.logits(network, prepared)
    for norm, momentum in kept:
        norm.momentum = momentum
    network.eval()


def _columns(values: list[Values]) -> dict[str, list[float | None]]:
    return {name: [at[name] for at in values] for name in values[0]}


def _barriers(curve: Mapping[str, Any]) -> Values:
    """Of each value, by what is better on the test set: on D_f too a rise of the loss is a barrier."""
    goals = {name: goal_of(f"test_{name.partition('_')[2]}") for name in curve}
    return {
        name: barrier(curve["t"], curve[name], goal == "higher")
        for name, goal in goals.items()
        if goal is not None
    }


def _distance(first: Mapping[str, Tensor], last: Mapping[str, Tensor]) -> float:
    """The Euclidean distance between the models."""
    return math.sqrt(sum(float((first[n] - last[n]).square().sum()) for n in first))
