"""Weight distortion: noise on every weight, then fine-tuning on D_r (Siddiqui et al., 2505.22310)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from mubench.data import Batch
from mubench.methods.base import Method
from mubench.run import Run, StreamName
from mubench.schema import within


@dataclass
class WeightDistortion(Method):
    """w0 + N(0, sigma^2), then min mean CE on D_r: far from w0, relearning does not bring D_f back."""

    sigma: float = 0.05  # of the noise, in units of the weights: more forgets more, and costs more to repair

    stream: ClassVar[StreamName] = "retain"
    needs: ClassVar[frozenset[str]] = frozenset({"retain"})
    source: ClassVar[tuple[str, ...]] = ("siddiqui2025",)
    formula: ClassVar[str] = "min mean CE on D_r from w0 + N(0, sigma^2)"

    def __post_init__(self) -> None:
        within("method.sigma", self.sigma, 0, 1e3)

    def loss(self, run: Run, batch: Batch) -> Tensor:  # type: ignore[override]
        """The task's loss on D_r."""
        return run.reduce(run.losses(batch), "retain")

    @torch.no_grad()
    def unlearn(self, run: Run) -> None:
        """Distort, then repair."""
        generator = run.generator()
        for weight in run.weights.values():
            weight.add_(self.sigma * torch.randn(weight.shape, generator=generator).to(weight))
        with torch.enable_grad():
            super().unlearn(run)
