"""UNDIAL: distil the original with the label's score lowered (Dong et al., 2402.10052)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from mubench.data import Batch
from mubench.methods.forgetting import Forgetting
from mubench.run import Run
from mubench.schema import within


@dataclass
class Undial(Forgetting):
    """min mean KL(q || p_w) on D_f, q = softmax(z_w0 with beta taken from the label token's score)."""

    beta: float = 10.0  # how far the label's score is lowered: 0 forgets nothing

    families: ClassVar[frozenset[str]] = frozenset({"tokens"})
    source: ClassVar[tuple[str, ...]] = ("dong2024",)
    formula: ClassVar[str] = (
        "min mean KL(q || p_w) per label token of D_f + alpha mean CE(D_r), "
        "q = softmax(z_w0 - beta at the label)"
    )
    memory: ClassVar[str] = "a copy of the model"

    def __post_init__(self) -> None:
        super().__post_init__()
        within("method.beta", self.beta, 0, 1e3)

    def prepare(self, run: Run) -> None:
        """The teacher is the original, frozen."""
        self._original = run.original

    def forget(self, run: Run, batch: Batch, logits: Tensor) -> Tensor:
        """Towards the lowered teacher; its entropy, a constant, is all that CE has beyond KL."""
        modality, targets = run.modality, batch.targets
        taught = modality.lowered(run.logits(batch, self._original), targets, self.beta)
        return run.reduce(modality.divergence(taught, logits, targets), "forget")
