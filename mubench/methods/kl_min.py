"""KL minimization: ascent on D_f, the original's predictions on D_r (Maini et al., 2401.06121)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from mubench.data import Paired
from mubench.methods.base import Method
from mubench.run import Run, StreamName


@dataclass
class KLMin(Method):
    """min -gamma mean CE on D_f + alpha mean KL(p_w0 || p_w) on D_r."""

    gamma: float = 1.0  # weight of forgetting
    alpha: float = 1.0  # weight of retaining

    stream: ClassVar[StreamName] = "paired"
    needs: ClassVar[frozenset[str]] = frozenset({"forget", "retain"})
    source: ClassVar[tuple[str, ...]] = ("maini2024",)
    formula: ClassVar[str] = "min -gamma mean CE(D_f) + alpha mean KL(p_w0 || p_w) on D_r"
    lowers: ClassVar[bool] = True
    memory: ClassVar[str] = "a copy of the model"
    distils: ClassVar[bool] = True

    def prepare(self, run: Run) -> None:
        """The teacher is the original, frozen."""
        self._original = run.original

    def loss(self, run: Run, batch: Paired) -> Tensor:  # type: ignore[override]
        """Both terms from one forward."""
        forget, retain = batch.split(run.logits(batch.joined()))
        up = run.reduce(run.modality.losses(forget, batch.forget.targets), "forget")
        near = run.reduce(run.divergence(batch.retain, self._original, logits=retain), "retain")
        return self.alpha * near - self.gamma * up
