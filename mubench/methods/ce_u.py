"""CE-U: towards the model's own view of D_f without the true class (Yang, 2503.01224)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from mubench.data import Batch
from mubench.methods.forgetting import Forgetting
from mubench.run import Run


@dataclass
class CEU(Forgetting):
    """min mean KL(q || p_w) on D_f, q = softmax(z_w with the label at -inf), a constant in each step.

    The paper's CE to q has the same gradient: it differs by the entropy of q.
    """

    families: ClassVar[frozenset[str]] = frozenset({"classes", "tokens"})
    source: ClassVar[tuple[str, ...]] = ("yang2025ceu",)
    formula: ClassVar[str] = (
        "min mean CE(q, p_w) on D_f + alpha mean CE(D_r), q = softmax(z_w with the label at -inf), constant"
    )
    lowers: ClassVar[bool] = True

    def forget(self, run: Run, batch: Batch, logits: Tensor) -> Tensor:
        """Towards what the model would say if it did not know the label."""
        modality, targets = run.modality, batch.targets
        taught = modality.lowered(logits.detach(), targets, math.inf)
        return run.reduce(modality.divergence(taught, logits, targets), "forget")
