"""Gradient difference: ascent on the forget set beside descent on the retain set (Liu et al., 2022)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from mubench.data import Paired
from mubench.methods.base import Method
from mubench.run import Run, StreamName


@dataclass
class GradDiff(Method):
    """min -gamma CE on D_f + alpha CE on D_r."""

    gamma: float = 1.0  # weight of forgetting
    alpha: float = 1.0  # weight of retaining

    stream: ClassVar[StreamName] = "paired"
    needs: ClassVar[frozenset[str]] = frozenset({"forget", "retain"})
    source: ClassVar[tuple[str, ...]] = ("liu2022", "maini2024")
    lowers: ClassVar[bool] = True
    formula: ClassVar[str] = "min alpha mean CE(D_r) - gamma mean CE(D_f)"
    memory: ClassVar[str] = "activations of twice a batch: D_r's rows go beside D_f's"

    def loss(self, run: Run, batch: Paired) -> Tensor:  # type: ignore[override]
        """Both terms from one forward."""
        forget, retain = batch.split(run.losses(batch.joined()))
        return self.alpha * run.reduce(retain, "retain") - self.gamma * run.reduce(forget, "forget")
