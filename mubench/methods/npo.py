"""NPO: preference optimization with D_f as the dispreferred answers (Zhang et al., 2404.05868)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor

from mubench.data import Batch
from mubench.methods.forgetting import Forgetting
from mubench.run import Run
from mubench.schema import within


@dataclass
class NPO(Forgetting):
    """min (2 / beta) mean log(1 + (p_w(y) / p_w0(y))^beta) on D_f, p that of an example's whole target.

    Log-probabilities are summed over an example's label tokens, and each example has a sigmoid of its own.
    The smaller beta, the more it is gradient ascent. For diffusion minus the loss stands in for log p.
    """

    beta: float = 0.1  # how soon an example that became unlikely is let go

    source: ClassVar[tuple[str, ...]] = ("zhang2024",)
    formula: ClassVar[str] = (
        "min -(2/beta) mean log sigmoid(-beta (log p_w(y|x) - log p_w0(y|x))) on D_f + alpha mean CE(D_r)"
    )
    lowers: ClassVar[bool] = True
    memory: ClassVar[str] = "a copy of the model"

    def __post_init__(self) -> None:
        super().__post_init__()
        within("method.beta", self.beta, 0, 1e3, "(]")

    def prepare(self, run: Run) -> None:
        """The reference is the original, frozen."""
        self._original = run.original

    def forget(self, run: Run, batch: Batch, logits: Tensor) -> Tensor:
        """Per example, from log-probabilities summed over its label tokens."""
        likelihood = run.modality.log_likelihood
        before = likelihood(run.logits(batch, self._original), batch.targets)
        ratio = likelihood(logits, batch.targets) - before
        return run.reduce(-2 / self.beta * F.logsigmoid(-self.beta * ratio), "forget")
