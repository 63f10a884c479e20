"""A model small enough to work a step out by hand: logits = W x, four pixels, three classes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mubench.data import Columns
from mubench.engine import Engine
from mubench.methods.base import Method
from mubench.modalities.image import Image, InputSpec
from mubench.models import ModelSpec
from mubench.progress import Reporter
from mubench.run import Run
from mubench.schema import Recipe, Trainer

LR = 0.5
SGD = {"name": "sgd", "_target_": "torch.optim.SGD", "momentum": 0.0}
ADAMW = {"name": "adamw", "_target_": "torch.optim.AdamW"}
PIXELS = np.array(
    [[0, 51, 102, 255], [255, 0, 51, 102], [51, 204, 0, 153], [102, 102, 255, 0],
     [204, 0, 0, 51], [0, 255, 153, 0]], dtype=np.uint8)  # fmt: skip
LABELS = np.array([0, 1, 2, 0, 1, 2])
START = np.array([[0.3, -0.2, 0.1, 0.4], [-0.1, 0.2, 0.5, -0.3], [0.2, 0.1, -0.4, 0.0]])


class Linear(nn.Module):
    """W x with W = START, or fresh weights drawn from torch's generator; float64."""

    def __init__(self, classes: int, channels: int, image_size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(classes, channels * image_size**2, dtype=torch.float64))

    def forward(self, pixel_values: Tensor) -> Tensor:
        return pixel_values.flatten(1).to(self.weight.dtype) @ self.weight.T


def columns(pixels: np.ndarray = PIXELS, labels: np.ndarray = LABELS) -> Columns:
    images = torch.from_numpy(pixels).view(len(pixels), 1, 2, 2)
    return Columns({"pixel_values": images}, torch.from_numpy(labels), np.arange(len(labels)))


def tiny_run(
    method: Method, forget: list[int], retain: list[int], validation: Columns | None = None, **recipe: Any
) -> Run:
    """A Run of the linear model; one SGD step a pass unless the recipe says otherwise."""
    settings = {"epochs": 1, "batch_size": 64, "lr": LR, "schedule": "constant", "clip": None}
    rows = {"forget": torch.tensor(forget), "retain": torch.tensor(retain)}
    splits = {"train": columns()}
    if validation is not None:
        splits["validation"], rows["validation"] = validation, torch.arange(len(validation))
    spec = ModelSpec(
        {"_target_": f"{__name__}.Linear"}, 3, {"channels": 1, "image_size": 2}, InputSpec(2, (0.0,), (1.0,))
    )
    model = spec.fresh(0)
    with torch.no_grad():
        model.weight.copy_(torch.from_numpy(START))
    run = Run(
        model, spec, Image("image"), splits, {name: rows[name] for name in method.reads},
        Recipe(**{**settings, "optimizer": dict(SGD), **recipe}),
        Engine(Trainer(device="cpu")), seed=7, reporter=Reporter(quiet=True),
    )  # fmt: skip
    run.hooks = method.hooks(run)
    return run


def unlearn(method: Method, forget: list[int], retain: list[int], **recipe: Any) -> np.ndarray:
    """The weights (3, 4) after the method's whole procedure."""
    return finish(method, tiny_run(method, forget, retain, **recipe))


def finish(method: Method, run: Run) -> np.ndarray:
    method.prepare(run)
    method.unlearn(run)
    return run.model.weight.detach().numpy().astype(np.float64)


# The same mathematics in NumPy, float64 --------------------------------------------------------


def features(rows: list[int]) -> np.ndarray:
    return PIXELS[rows].astype(np.float64) / 255


def softmax(z: np.ndarray) -> np.ndarray:
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def ce_gradient(weight: np.ndarray, rows: list[int], labels: np.ndarray | None = None) -> np.ndarray:
    """Of mean CE: mean (p - onehot(y)) x^T."""
    x, y = features(rows), LABELS[rows] if labels is None else labels
    return (softmax(x @ weight.T) - np.eye(3)[y]).T @ x / len(rows)


def kl_gradient(teacher: np.ndarray, weight: np.ndarray, rows: list[int], t: float = 1.0) -> np.ndarray:
    """Of mean KL(p_teacher || p_weight) at temperature t: mean (p_weight - p_teacher) x^T / t."""
    x = features(rows)
    return (softmax(x @ weight.T / t) - softmax(x @ teacher.T / t)).T @ x / (t * len(rows))
