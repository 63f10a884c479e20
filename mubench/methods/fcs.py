"""FCS: D_f flattened, then pushed from D_r (Cadet et al., 2410.01276)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from mubench import divergence
from mubench.data import Batch, Paired
from mubench.methods.base import Method
from mubench.run import Run, StreamName
from mubench.schema import within


@dataclass
class FCS(Method):
    """A pass min KL(p_w || uniform) on D_f; then in turns passes of a contrast on D_f and of CE on D_r.

    The contrast of a row of D_f is -log softmax_r(z_f z_r / tau), its mean over the rows r of D_r beside
    it, their scores z_r constants: least where no row of D_r is nearer than another. It won the NeurIPS 2023
    challenge, where the first pass takes KL(uniform || p_w).
    """

    temperature: float = 1.15  # tau: below it the nearest rows of D_r count for more
    contrast: float = 1.0  # weight of its passes beside those on D_r

    needs: ClassVar[frozenset[str]] = frozenset({"forget", "retain"})
    families: ClassVar[frozenset[str]] = frozenset({"classes"})
    source: ClassVar[tuple[str, ...]] = ("cadet2024", "triantafillou2024")
    formula: ClassVar[str] = (
        "one pass min KL(p_w || uniform) on D_f; then in turns "
        "min mean over f, r of -log softmax_r(z_f z_r / tau) and min mean CE on D_r"
    )
    softmax: ClassVar[bool] = False
    additive: ClassVar[bool] = False
    gathers: ClassVar[bool] = True

    def __post_init__(self) -> None:
        within("method.temperature", self.temperature, 0, 1e3, "(]")
        within("method.contrast", self.contrast, 0, 1e6)

    def flatten(self, run: Run, batch: Batch) -> Tensor:
        """KL from the uniform distribution: log K - H."""
        logits = run.logits(batch)
        return run.reduce(math.log(logits.shape[-1]) - divergence.entropy(logits), "forget")

    def push(self, run: Run, batch: Paired) -> Tensor:
        """The contrast of D_f's rows with those of D_r in the batch."""
        forget, retain = batch.split(divergence.precise(run.logits(batch.joined())))
        likeness = forget @ run.whole(retain).T / self.temperature
        return self.contrast * run.reduce(-likeness.log_softmax(dim=1).mean(dim=1), "contrast")

    def descend(self, run: Run, batch: Batch) -> Tensor:
        """The task's loss on D_r."""
        return run.reduce(run.losses(batch), "retain")

    def unlearn(self, run: Run) -> None:
        """The pass over D_f, then the recipe's epochs of two passes, under one optimizer."""

        def push(batch: Any) -> Tensor:
            return self.push(run, batch)

        def descend(batch: Any) -> Tensor:
            return self.descend(run, batch)

        run.fit("forget", lambda batch: self.flatten(run, batch), 1)
        turn: list[tuple[StreamName | str, Any]] = [("paired", push), ("retain", descend)]
        run.fit_passes(turn * run.recipe.epochs)
