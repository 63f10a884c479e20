"""Task arithmetic: away from what overfitting D_f adds to the weights (Ilharco et al., 2212.04089)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from mubench.data import Batch
from mubench.methods.base import Method
from mubench.run import Run
from mubench.schema import within


@dataclass
class TaskVector(Method):
    """w = w0 - scale (w_f - w0), w_f trained on D_f from w0.

    Under an adapter its matrices A and B are moved so, one by one: their product follows to first order.
    Statistics of normalisations stay the original's.
    """

    scale: float = 1.0  # how far to go against the task vector: more forgets more

    source: ClassVar[tuple[str, ...]] = ("ilharco2023",)
    formula: ClassVar[str] = "w = w0 - scale (w_f - w0), w_f from w0 by min mean CE on D_f"
    memory: ClassVar[str] = "one copy of the weights"

    def __post_init__(self) -> None:
        within("method.scale", self.scale, 0, 1e6, "(]")

    def loss(self, run: Run, batch: Batch) -> Tensor:  # type: ignore[override]
        """The task's loss on D_f, descended."""
        return run.reduce(run.losses(batch), "forget")

    def unlearn(self, run: Run) -> None:
        """Overfit D_f for the recipe's epochs, then go the other way."""
        start = {name: w.detach().clone() for name, w in run.model.state_dict().items()}
        run.fit(self.stream, lambda batch: self.loss(run, batch))
        vectors = {name: w.detach() - start[name] for name, w in run.weights.items()}
        run.model.load_state_dict(start)
        with torch.no_grad():
            for name, weight in run.weights.items():
                weight.sub_(self.scale * vectors[name])
