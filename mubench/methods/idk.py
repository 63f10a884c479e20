"""IDK: answer D_f with random refusals (Maini et al., 2401.06121)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from mubench.data import Batch
from mubench.methods.forgetting import Forgetting
from mubench.run import Run, StreamName


@dataclass
class IDK(Forgetting):
    """min mean CE of a refusal on D_f, another random one each epoch, + alpha mean CE(D_r).

    Each row of D_f is answered by a random refusal of a list that comes with mubench, drawn anew for each
    epoch.
    """

    alpha: float = 1.0  # weight of retaining

    stream: ClassVar[StreamName] = "paired"
    needs: ClassVar[frozenset[str]] = frozenset({"forget", "retain"})
    families: ClassVar[frozenset[str]] = frozenset({"tokens"})
    source: ClassVar[tuple[str, ...]] = ("maini2024",)
    formula: ClassVar[str] = "min mean CE(refusals of D_f) + alpha mean CE(D_r)"

    def prepare(self, run: Run) -> None:
        """Draw a refusal for each row and epoch."""
        self._refusals = run.modality.refusals(run.spec.input).to(run.engine.device)
        shape = (max(1, run.recipe.epochs), len(run.columns["train"]))
        drawn = torch.randint(len(self._refusals), shape, generator=run.generator())
        self._drawn = drawn.to(run.engine.device)

    def refused(self, run: Run, batch: Batch) -> Batch:
        """The batch with refusals for targets."""
        return replace(batch, targets=self._refusals[self._drawn[run.epoch, batch.index]])

    def shown(self, run: Run, batch: Batch) -> Batch:
        """The refusals alone."""
        return self.refused(run, batch)

    def forget(self, run: Run, batch: Batch, logits: Tensor) -> Tensor:
        """Mean CE of the refusals."""
        return run.reduce(run.modality.losses(logits, batch.targets), "forget")
