"""A token model small enough to work by hand, and the same mathematics by loops in NumPy, float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from families import FAMILIES
from tiny import SGD
from torch import Tensor, nn

from mubench.data import Batch
from mubench.engine import Engine
from mubench.methods.base import Method
from mubench.progress import Reporter
from mubench.run import Run
from mubench.schema import Recipe, Trainer

FORGET, RETAIN = [0, 1, 2], [10, 11, 12]
IGNORED = -100


def token_run(method: Method, **recipe: Any) -> Run:
    """A Run of a GPT-2 of one layer in float64: 12 tokens, answers of one to three of them."""
    case = FAMILIES["text_generation"]()
    rows = {"forget": torch.tensor(FORGET), "retain": torch.tensor(RETAIN)}
    settings = {"epochs": 1, "batch_size": 64, "lr": 0.5, "schedule": "constant", "clip": None}
    run = Run(
        case.spec.fresh(0).double(), case.spec, case.modality, {"train": case.train},
        {name: rows[name] for name in method.reads}, Recipe(**{**settings, "optimizer": dict(SGD), **recipe}),
        Engine(Trainer(device="cpu")), seed=7, reporter=Reporter(quiet=True),
    )  # fmt: skip
    run.hooks = method.hooks(run)
    return run


def batch_of(run: Run, rows: list[int]) -> Batch:
    """Rows of the training columns as the model takes them."""
    return run.prepare(run.columns["train"].take(torch.tensor(rows), torch.device("cpu")))


def moved(model: nn.Module, scale: float = 0.05) -> None:
    """Push every weight away from where it stands, the same way each time."""
    draw = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(scale * torch.randn(weight.shape, generator=draw, dtype=weight.dtype))


def scores(run: Run, batch: Batch, model: nn.Module | None = None) -> np.ndarray:
    """Scores (B, T, V) as NumPy has them."""
    return run.logits(batch, model).detach().numpy()


def log_softmax(z: np.ndarray) -> np.ndarray:
    z = z - z.max(axis=-1, keepdims=True)
    return z - np.log(np.exp(z).sum(axis=-1, keepdims=True))


def places(targets: Tensor, row: int) -> list[tuple[int, int]]:
    """(place, token) of an example's label tokens."""
    return [(t, int(y)) for t, y in enumerate(targets[row].tolist()) if y != IGNORED]


def gradient_at_scores(run: Run, method: Method, batch: Any) -> tuple[float, Tensor]:
    """The loss of a batch, and its gradient with respect to the model's scores, (B, T, V)."""
    kept: list[Tensor] = []
    plain = run.logits

    def watched(batch: Batch, model: nn.Module | None = None) -> Tensor:
        found = plain(batch, model)
        if model is None:
            found = found.detach().requires_grad_(True)
            kept.append(found)
        return found

    run.logits = watched  # type: ignore[method-assign]
    try:
        loss = method.loss(run, batch)
        loss.backward()
    finally:
        run.logits = plain  # type: ignore[method-assign]
    (only,) = kept
    return float(loss.detach()), only.grad


def numeric_gradient(function: Any, z: np.ndarray, step: float = 1e-6) -> np.ndarray:
    """Of a scalar function of scores, by central differences."""
    found = np.zeros_like(z)
    for at in np.ndindex(z.shape):
        up, down = z.copy(), z.copy()
        up[at] += step
        down[at] -= step
        found[at] = (function(up) - function(down)) / (2 * step)
    return found
