"""Gradient ascent on the forget set (NegGrad; Golatkar et al., 2020; Thudi et al., 2022)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from mubench.data import Batch
from mubench.methods.base import Method
from mubench.run import Run


@dataclass
class NegGrad(Method):
    """min -mean CE on D_f."""

    ascends: ClassVar[bool] = True
    source: ClassVar[tuple[str, ...]] = ("golatkar2020", "thudi2022")
    lowers: ClassVar[bool] = True
    formula: ClassVar[str] = "min -mean CE(D_f)"

    def loss(self, run: Run, batch: Batch) -> Tensor:  # type: ignore[override]
        """Minus the mean CE."""
        return -run.reduce(run.losses(batch), "forget")
