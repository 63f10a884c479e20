"""DPO: prefer a refusal to the true answer of D_f (Rafailov et al., 2305.18290; Maini et al., 2401.06121)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor

from mubench.data import Batch, concatenate
from mubench.methods.idk import IDK
from mubench.run import Run
from mubench.schema import within


@dataclass
class DPO(IDK):
    """min -(1 / beta) mean log sigmoid(beta (r(refusal) - r(answer))) on D_f + alpha mean CE(D_r).

    r = log p_w - log p_w0, of a whole text. The refusals are those of `idk`.
    """

    beta: float = 0.1  # how soon an example whose refusal is preferred is let go

    source: ClassVar[tuple[str, ...]] = ("rafailov2023", "maini2024")
    formula: ClassVar[str] = (
        "min -(1/beta) mean log sigmoid(beta [(log p_w - log p_w0)(refusal) - (log p_w - log p_w0)(y)]) "
        "on D_f + alpha mean CE(D_r)"
    )
    memory: ClassVar[str] = "a copy of the model"

    def __post_init__(self) -> None:
        super().__post_init__()
        within("method.beta", self.beta, 0, 1e3, "(]")

    def prepare(self, run: Run) -> None:
        """The reference is the original, frozen."""
        super().prepare(run)
        self._original = run.original

    def shown(self, run: Run, batch: Batch) -> Batch:
        """The refusals, then the true answers."""
        return concatenate(self.refused(run, batch), batch)

    def forget(self, run: Run, batch: Batch, logits: Tensor) -> Tensor:
        """Per example, from log-probabilities summed over label tokens."""
        likelihood = run.modality.log_likelihood
        before = likelihood(run.logits(batch, self._original), batch.targets)
        refusal, answer = (likelihood(logits, batch.targets) - before).chunk(2)
        return run.reduce(-1 / self.beta * F.logsigmoid(self.beta * (refusal - answer)), "forget")
