"""SimNPO: NPO without a reference model, on likelihoods per token (Fan et al., 2410.07163)."""

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
class SimNPO(Forgetting):
    """min -(2 / beta) mean log sigmoid(beta CE - delta), CE the mean over an example's label tokens."""

    beta: float = 2.5  # how soon an example that became unlikely is let go
    delta: float = 0.0  # the CE, times beta, up to which an example is pushed hard

    families: ClassVar[frozenset[str]] = frozenset({"tokens"})
    source: ClassVar[tuple[str, ...]] = ("fan2024simnpo",)
    formula: ClassVar[str] = (
        "min -(2/beta) mean log sigmoid(beta CE(D_f) - delta) + alpha mean CE(D_r), "
        "CE the mean over an example's label tokens"
    )
    lowers: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        within("method.beta", self.beta, 0, 1e3, "(]")
        within("method.delta", self.delta, 0, 1e3)

    def forget(self, run: Run, batch: Batch, logits: Tensor) -> Tensor:
        """Per example, from its CE per token."""
        nll = run.modality.losses(logits, batch.targets)
        return run.reduce(-2 / self.beta * F.logsigmoid(self.beta * nll - self.delta), "forget")
