"""Weight distortion: noise on every weight, then fine-tuning on D_r (Siddiqui et al., 2505.22310)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mubench.methods.finetune import Finetune
from mubench.methods.renewal import distort
from mubench.run import Run
from mubench.schema import within


@dataclass
class WeightDistortion(Finetune):
    """w0 + N(0, sigma^2), then min mean CE on D_r.

    Far from w0, so the paper, relearning does not bring D_f back. Sigma is in units of the weights.
    """

    sigma: float = 0.05  # of the noise, in units of the weights: more forgets more, and costs more to repair

    source: ClassVar[tuple[str, ...]] = ("siddiqui2025",)
    formula: ClassVar[str] = "min mean CE on D_r from w0 + N(0, sigma^2)"

    def __post_init__(self) -> None:
        within("method.sigma", self.sigma, 0, 1e3)

    def unlearn(self, run: Run) -> None:
        """Distort, then repair."""
        distort(run.weights.values(), self.sigma, run.generator())
        super().unlearn(run)
