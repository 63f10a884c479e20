"""DELETE: the original's own view of D_f without the true class, distilled (Zhou et al., 2503.23751)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from mubench.data import Batch
from mubench.methods.forgetting import Forgetting
from mubench.run import Run


@dataclass
class Delete(Forgetting):
    """min mean KL(q || p_w) on D_f, q = softmax(z_w0 with the true class or token at -inf)."""

    families: ClassVar[frozenset[str]] = frozenset({"classes", "tokens"})
    source: ClassVar[tuple[str, ...]] = ("zhou2025",)
    formula: ClassVar[str] = (
        "min mean KL(q || p_w) on D_f + alpha mean CE(D_r), q = softmax(z_w0 with the label at -inf)"
    )
    lowers: ClassVar[bool] = True
    memory: ClassVar[str] = "a copy of the model"

    def prepare(self, run: Run) -> None:
        """The teacher is the original, frozen."""
        self._original = run.original

    def forget(self, run: Run, batch: Batch, logits: Tensor) -> Tensor:
        """Towards a distribution without mass on the label."""
        modality, targets = run.modality, batch.targets
        taught = modality.lowered(run.logits(batch, self._original), targets, math.inf)
        return run.reduce(modality.divergence(taught, logits, targets), "forget")
