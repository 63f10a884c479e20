"""KDE: first kernel and head distilled anew (Cadet et al., 2410.01276)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from mubench.data import Batch
from mubench.methods.base import Method
from mubench.methods.renewal import head_weights, renew, spatial_weights
from mubench.run import Run, StreamName
from mubench.schema import within


@dataclass
class KDE(Method):
    """Fresh first kernel and head; min KL(p_w0 || p_w) on validation data; min CE + 2 KL(p_w0 || p_w) on D_r.

    p is softened by the temperature. The source's third term on D_r, the cross-entropy to p_w0, is KL plus
    a constant, the entropy of p_w0: so KL counts twice. The recipe's epochs are those over D_r.
    """

    temperature: float = 5.0  # above 1 the original's smaller probabilities count for more
    warmup: int = 3  # epochs over validation data

    stream: ClassVar[StreamName] = "retain"
    needs: ClassVar[frozenset[str]] = frozenset({"retain", "validation"})
    layers: ClassVar[Literal["all", "convolutions"]] = "convolutions"
    source: ClassVar[tuple[str, ...]] = ("cadet2024", "triantafillou2024")
    formula: ClassVar[str] = (
        "first kernel and head freshly initialised; min mean KL(p_w0 || p_w) on validation data; "
        "min mean CE + soft CE(p_w0, p_w) + KL(p_w0 || p_w) on D_r"
    )
    memory: ClassVar[str] = "a copy of the weights"
    distils: ClassVar[bool] = True

    def __post_init__(self) -> None:
        within("method.temperature", self.temperature, 0, 1e3, "(]")
        within("method.warmup", self.warmup, 0, 1e6)

    def acts(self, setting: str, gives: frozenset[str], classes: int) -> bool:
        """There is nothing to heat in predicted noise."""
        return setting != "temperature" or bool(gives & {"classes", "tokens"})

    def prepare(self, run: Run) -> None:
        """The teacher is the original, frozen."""
        self._teacher = run.original

    def distil(self, run: Run, batch: Batch) -> Tensor:
        """Divergence from the original on validation data, whose rows are no training rows to remember."""
        with torch.no_grad():
            taught = run.modality.logits(self._teacher, batch)
        scores = run.logits(batch)
        found = run.modality.divergence(taught, scores, batch.targets, self.temperature)
        return run.reduce(found, "validation")

    def loss(self, run: Run, batch: Batch) -> Tensor:  # type: ignore[override]
        """The task's loss and the divergence from the original, on D_r."""
        logits = run.logits(batch)
        task = run.reduce(run.modality.losses(logits, batch.targets), "task")
        distance = run.divergence(batch, self._teacher, self.temperature, logits)
        return task + 2 * run.reduce(distance, "retain")

    def unlearn(self, run: Run) -> None:
        """Begin afresh at both ends, then two trainings."""
        first = next(iter(spatial_weights(run))).removesuffix("weight")
        both = {name for name in run.weights if name.rpartition(".")[0] == first.rstrip(".")}
        renew(run, both | head_weights(run))
        run.fit("validation", lambda batch: self.distil(run, batch), self.warmup)
        super().unlearn(run)
