"""Descent on the retain set against ascent on the forget set (NegGrad+; Kurmanji et al., 2302.09880)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from mubench.data import Paired
from mubench.methods.base import Method
from mubench.run import Run, StreamName
from mubench.schema import within


@dataclass
class NegGradPlus(Method):
    """min alpha CE on D_r - (1 - alpha) CE on D_f."""

    alpha: float = 0.95  # nearer to 1: safer for the retain set, forgets less

    stream: ClassVar[StreamName] = "paired"
    needs: ClassVar[frozenset[str]] = frozenset({"forget", "retain"})
    source: ClassVar[tuple[str, ...]] = ("kurmanji2023",)
    lowers: ClassVar[bool] = True
    formula: ClassVar[str] = "min alpha mean CE(D_r) - (1 - alpha) mean CE(D_f)"
    memory: ClassVar[str] = "activations of twice a batch: D_r's rows go beside D_f's"

    def __post_init__(self) -> None:
        within("method.alpha", self.alpha, 0, 1)

    def loss(self, run: Run, batch: Paired) -> Tensor:  # type: ignore[override]
        """Both terms from one forward."""
        forget, retain = batch.split(run.losses(batch.joined()))
        return self.alpha * run.reduce(retain, "retain") - (1 - self.alpha) * run.reduce(forget, "forget")
