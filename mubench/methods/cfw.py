"""CFW: noise on the convolutions, weighted classes on D_r (Cadet et al., 2410.01276)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from mubench.data import Batch
from mubench.methods.base import Method
from mubench.methods.renewal import distort, spatial_weights
from mubench.run import Run, StreamName
from mubench.schema import within


@dataclass
class CFW(Method):
    """N(0, sigma^2) on every kernel, min mean v(y) CE on D_r; N(0, last^2) before the last epoch.

    v(y) = n / (K n_y) from the counts of the K classes in D_r, so that every class counts alike; 1 where
    targets are no classes. The last epoch has an optimizer of its own. The source's first noise is
    N(0, 0.6); the default here is far smaller.
    """

    sigma: float = 0.05  # of the first noise, in units of the weights: more forgets more
    last: float = 0.005  # of the noise before the last epoch

    stream: ClassVar[StreamName] = "retain"
    needs: ClassVar[frozenset[str]] = frozenset({"retain"})
    layers: ClassVar[Literal["all", "convolutions"]] = "convolutions"
    source: ClassVar[tuple[str, ...]] = ("cadet2024", "triantafillou2024")
    formula: ClassVar[str] = (
        "every kernel + N(0, sigma^2); min mean n / (K n_y) CE on D_r, n_y of n rows of class y, K classes; "
        "every kernel + N(0, last^2) before the last epoch"
    )

    def __post_init__(self) -> None:
        within("method.sigma", self.sigma, 0, 1e3)
        within("method.last", self.last, 0, 1e3)

    def prepare(self, run: Run) -> None:
        """The weight of each class."""
        self._weights = class_weights(run).to(run.engine.device) if run.classes else None

    def loss(self, run: Run, batch: Batch) -> Tensor:  # type: ignore[override]
        """The task's loss on D_r, each example by the weight of its class."""
        losses = run.losses(batch)
        weighted = losses if self._weights is None else self._weights[batch.targets].to(losses) * losses
        return run.reduce(weighted, "retain")

    def unlearn(self, run: Run) -> None:
        """Noise, all epochs but one, a little more noise, the last epoch."""
        kernels, epochs = spatial_weights(run).values(), run.recipe.epochs
        distort(kernels, self.sigma, run.generator())
        run.fit(self.stream, lambda batch: self.loss(run, batch), max(0, epochs - 1))
        distort(kernels, self.last, run.generator(1))
        run.fit(self.stream, lambda batch: self.loss(run, batch), min(1, epochs))


def class_weights(run: Run) -> Tensor:
    """n / (K n_y) for each of the classes, from their counts in D_r; K counts those that are there."""
    targets = run.columns["train"].targets
    rows = run.rows["retain"].to(targets.device)
    counts = torch.bincount(targets[rows].cpu(), minlength=run.classes).double()
    return len(rows) / (int((counts > 0).sum()) * counts.clamp_min(1))
