"""What all modalities whose target is a class have in common."""

from __future__ import annotations

from abc import ABC
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mubench import divergence
from mubench.data import Batch
from mubench.divergence import precise
from mubench.errors import UsageError
from mubench.modalities.base import Modality


@dataclass
class Classification(Modality, ABC):
    """One of C classes for each example: scores (B, C), targets (B,) int64."""

    gives: ClassVar[frozenset[str]] = frozenset({"losses", "classes"})

    def scores(self, model: nn.Module, batch: Batch) -> Tensor:
        """Class scores (B, C) of a prepared batch."""
        output = model(**batch.inputs)
        scores: Tensor = output if isinstance(output, Tensor) else output.logits
        return scores

    def losses(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy per example, (B,), in nats."""
        return F.cross_entropy(precise(logits), targets, reduction="none")

    def errors(self, logits: Tensor, targets: Tensor) -> Tensor:
        """1 where the most likely class is not the label, else 0, (B,)."""
        return (logits.argmax(-1) != targets).float()

    def divergence(
        self, teacher: Tensor, student: Tensor, targets: Tensor, temperature: float = 1.0
    ) -> Tensor:
        """KL(teacher || student) per example, (B,)."""
        return divergence.kl(teacher, student, temperature)

    def entropy_gap(self, teacher: Tensor, student: Tensor, targets: Tensor) -> Tensor:
        """Squared difference of the entropies over the classes, (B,), in nats squared."""
        return (divergence.entropy(student) - divergence.entropy(teacher.detach())).square()

    def label_log_probs(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Log-probability of the label, (B,)."""
        return -self.losses(logits, targets)

    def over_labels(self, values: Tensor, targets: Tensor) -> Tensor:
        """The values (B,) themselves: an example has one label."""
        return values

    def lowered(self, logits: Tensor, targets: Tensor, by: float) -> Tensor:
        """The scores (B, C) with `by` taken from the label's own."""
        return divergence.lowered(logits, targets, by)

    def draw(self, logits: Tensor, targets: Tensor, generator: torch.Generator) -> Tensor:
        """A weight for each class, (B, C)."""
        return divergence.signed_roots(logits, generator)

    def relabel(self, targets: Tensor, donors: Tensor, classes: int, generator: torch.Generator) -> Tensor:
        """A label drawn uniformly from the K-1 wrong ones for each target (n,)."""
        if classes < 2:
            raise UsageError("random labels need at least two classes")
        shift = torch.randint(1, classes, targets.shape, generator=generator)
        return (targets + shift.to(targets.device)) % classes

    def predictions(self, logits: Tensor, batch: Batch) -> dict[str, Tensor]:
        """The label, and the scores themselves."""
        return {"targets": batch.targets, "logits": logits.float()}
