"""A convolution and a head, small enough to work by hand: z = H K x, one 2x2 kernel over the 2x2 image."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from families import FAMILIES
from tiny import ADAMW, LABELS, LR, SGD, columns, features, softmax
from torch import Tensor, nn

from mubench.data import Columns
from mubench.engine import Engine
from mubench.methods.base import Method
from mubench.modalities.image import Image, InputSpec
from mubench.models import ModelSpec
from mubench.progress import Reporter
from mubench.run import Run
from mubench.schema import Recipe, Trainer

KERNEL = np.array([[0.5, -0.4, 0.3, 0.2], [0.1, 0.6, -0.5, -0.3]])  # two outputs, pixels row by row
HEAD = np.array([[0.7, -0.2], [-0.6, 0.4], [0.1, 0.9]])
FORGET, RETAIN = [0, 1], [2, 3, 4]


class TinyConv(nn.Module):
    """Scores (B, 3) of images (B, 1, 2, 2), float64."""

    def __init__(self, classes: int, channels: int, image_size: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 2, image_size, bias=False, dtype=torch.float64)
        self.head = nn.Linear(2, classes, bias=False, dtype=torch.float64)

    def forward(self, pixel_values: Tensor) -> Tensor:
        scores: Tensor = self.head(self.conv(pixel_values.double()).flatten(1))
        return scores


def conv_run(
    method: Method, validation: Columns | None = None, retain: list[int] | None = None, **recipe: Any
) -> Run:
    """A Run of the network at KERNEL and HEAD; one SGD step a pass unless the recipe says otherwise."""
    settings = {"epochs": 1, "batch_size": 64, "lr": LR, "schedule": "constant", "clip": None}
    spec = ModelSpec(
        {"_target_": f"{__name__}.TinyConv"}, 3, {"channels": 1, "image_size": 2},
        InputSpec(2, (0.0,), (1.0,)),
    )  # fmt: skip
    model = spec.fresh(0)
    with torch.no_grad():
        model.conv.weight.copy_(torch.from_numpy(KERNEL).view(2, 1, 2, 2))
        model.head.weight.copy_(torch.from_numpy(HEAD))
    splits, rows = {"train": columns()}, {"forget": FORGET, "retain": RETAIN if retain is None else retain}
    if validation is not None:
        splits["validation"], rows["validation"] = validation, list(range(len(validation)))
    run = Run(
        model, spec, Image("image"), splits, {name: torch.tensor(rows[name]) for name in method.reads},
        Recipe(**{**settings, "optimizer": dict(SGD), **recipe}), Engine(Trainer(device="cpu")), seed=7,
        reporter=Reporter(quiet=True),
    )  # fmt: skip
    run.hooks = method.hooks(run)
    return run


def family_run(method: Method, family: str = "image", **recipe: Any) -> Run:
    """A Run of a family's problem."""
    case = FAMILIES[family]()
    rows = {"forget": case.forget, "retain": case.retain, "validation": list(range(len(case.validation)))}
    settings = {**case.recipe, "schedule": "constant", "optimizer": dict(ADAMW)}
    run = Run(
        case.spec.fresh(0), case.spec, case.modality, {"train": case.train, "validation": case.validation},
        {name: torch.tensor(rows[name]) for name in method.reads}, Recipe(**{**settings, **recipe}),
        Engine(Trainer(device="cpu")), seed=3, reporter=Reporter(quiet=True),
    )  # fmt: skip
    run.hooks = method.hooks(run)
    return run


def weights_of(run: Run) -> tuple[np.ndarray, np.ndarray]:
    """Kernel (2, 4) and head (3, 2)."""
    kernel, head = run.model.conv.weight, run.model.head.weight
    return kernel.detach().numpy().reshape(2, 4).copy(), head.detach().numpy().copy()


def fresh_of(run: Run) -> tuple[np.ndarray, np.ndarray]:
    """Kernel and head of the freshly initialised network that the run draws."""
    fresh = run.fresh_weights()
    return fresh["conv.weight"].numpy().reshape(2, 4), fresh["head.weight"].numpy()


def finish(method: Method, run: Run) -> tuple[np.ndarray, np.ndarray]:
    method.prepare(run)
    method.unlearn(run)
    return weights_of(run)


# The same mathematics in NumPy, float64 --------------------------------------------------------


def scores(kernel: np.ndarray, head: np.ndarray, x: np.ndarray) -> np.ndarray:
    return x @ kernel.T @ head.T


def back(
    kernel: np.ndarray, head: np.ndarray, x: np.ndarray, slope: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Gradients of kernel and head from that of the scores (B, 3)."""
    return (slope @ head).T @ x, slope.T @ (x @ kernel.T)


def ce_slope(
    kernel: np.ndarray, head: np.ndarray, rows: list[int], weights: np.ndarray | None = None
) -> np.ndarray:
    """Of mean CE with respect to the scores; each row by its weight, if there are any."""
    slope = (softmax(scores(kernel, head, features(rows))) - np.eye(3)[LABELS[rows]]) / len(rows)
    return slope if weights is None else slope * weights[:, None]


def ce_step(
    kernel: np.ndarray, head: np.ndarray, rows: list[int], weights: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Both weights after one step of gradient descent on mean CE."""
    slopes = back(kernel, head, features(rows), ce_slope(kernel, head, rows, weights))
    return kernel - LR * slopes[0], head - LR * slopes[1]


def kl_slope(taught: np.ndarray, own: np.ndarray, t: float) -> np.ndarray:
    """Of mean KL(softmax(taught / t) || softmax(own / t)) with respect to `own`, (B, 3)."""
    return (softmax(own / t) - softmax(taught / t)) / (t * len(own))


def entropy(z: np.ndarray) -> np.ndarray:
    p = softmax(z)
    return -(p * np.log(p)).sum(axis=1)


def entropy_slope(z: np.ndarray) -> np.ndarray:
    """Of each row's entropy with respect to its scores: -p (log p + H)."""
    p = softmax(z)
    return -p * (np.log(p) + entropy(z)[:, None])
