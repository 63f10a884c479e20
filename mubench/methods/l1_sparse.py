"""Fine-tuning on D_r towards few weights, a penalty that fades (Jia et al., 2304.04934)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from mubench.data import Batch
from mubench.errors import UsageError
from mubench.methods.finetune import Finetune
from mubench.run import Run
from mubench.schema import within


@dataclass
class L1Sparse(Finetune):
    """min mean CE on D_r + a_t |w|_1, a_t = a (1 - t / (E - E0)) in epoch t of E, 0 in the last E0."""

    a: float = 5e-4  # the penalty of the first epoch
    rest: int = 0  # E0: epochs at the end without a penalty

    whole: ClassVar[bool] = True
    source: ClassVar[tuple[str, ...]] = ("jia2023",)
    formula: ClassVar[str] = (
        "min mean CE(D_r) + a_t |w|_1, a_t = max(0, a (1 - t/(E - rest))) in epoch t of E"
    )

    def __post_init__(self) -> None:
        within("method.a", self.a, 0, 1e3, "(]")
        within("method.rest", self.rest, 0, 1e6)

    def prepare(self, run: Run) -> None:
        """Refuse a rest that leaves no epoch with a penalty."""
        if self.rest >= run.recipe.epochs > 0:
            raise UsageError(f"method.rest={self.rest} leaves none of {run.recipe.epochs} epochs a penalty")

    def penalty(self, run: Run) -> float:
        """a_t of the epoch that is under way."""
        return self.a * max(0.0, 1 - run.epoch / (run.recipe.epochs - self.rest))

    def loss(self, run: Run, batch: Batch) -> Tensor:  # type: ignore[override]
        """The task's loss and the penalty on all weights that move."""
        size = torch.stack([weight.abs().sum() for weight in run.weights.values()]).sum()
        return super().loss(run, batch) + self.penalty(run) * size
