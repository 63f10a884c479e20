"""What a modality whose target is a text makes of its tokens' scores, per example."""

from __future__ import annotations

from abc import ABC
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from mubench import divergence
from mubench.data import Batch
from mubench.divergence import precise
from mubench.errors import UsageError
from mubench.modalities import token_ids
from mubench.modalities.base import Modality
from mubench.modalities.token_ids import IGNORED


@dataclass
class TokenLabels(Modality, ABC):
    """Scores (B, T, V), targets (B, T) int64 padded with -100: only tokens that are not padding count.

    Scores may be longer than the targets of their rows need, or end where the last of a batch does.
    """

    def losses(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Mean negative log-likelihood over the label tokens, (B,), in nats."""
        return -self.over_labels(self.label_log_probs(logits, targets), targets)

    def errors(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The share of label tokens that are not the likeliest, (B,)."""
        wrong = logits.argmax(-1) != targets[:, : logits.shape[1]]
        return self.over_labels(wrong.float(), targets)

    def divergence(
        self, teacher: Tensor, student: Tensor, targets: Tensor, temperature: float = 1.0
    ) -> Tensor:
        """KL(teacher || student) per label token, its mean per example, (B,)."""
        length = min(teacher.shape[1], student.shape[1])
        labels = targets[:, :length] != IGNORED
        return divergence.kl_of_tokens(teacher[:, :length], student[:, :length], labels, temperature)

    def entropy_gap(self, teacher: Tensor, student: Tensor, targets: Tensor) -> Tensor:
        """Squared difference of a label token's entropies, its mean per example, (B,), in nats squared."""
        length = min(teacher.shape[1], student.shape[1])
        taught, own = (divergence.entropy(scores[:, :length]) for scores in (teacher.detach(), student))
        return self.over_labels((own - taught).square(), targets)

    # Labels -----------------------------------------------------------------------------------

    def log_likelihood(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Log-probability of the whole text, (B,): the sum over its label tokens."""
        return self.label_log_probs(logits, targets).sum(1)

    def label_log_probs(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Log-probability of each label token, (B, T); 0 where padded."""
        labels = targets[:, : logits.shape[1]]
        scores = precise(logits.flatten(0, 1))
        found = F.cross_entropy(scores, labels.flatten(), ignore_index=IGNORED, reduction="none")
        return -found.view(labels.shape)

    def over_labels(self, values: Tensor, targets: Tensor) -> Tensor:
        """The mean (B,) of values (B, T) over the label tokens; 0 where there are none."""
        return token_ids.mean(values, targets[:, : values.shape[1]] != IGNORED)

    def distance(self, first: Tensor, second: Tensor, targets: Tensor) -> Tensor:
        """The Euclidean distance of two models' scores of a token, its mean over the label tokens, (B,)."""
        apart = torch.linalg.vector_norm(precise(first) - precise(second), dim=-1)
        return self.over_labels(apart, targets)

    def lowered(self, logits: Tensor, targets: Tensor, by: float) -> Tensor:
        """The scores (B, T, V) with `by` taken from each label token's own."""
        return divergence.lowered(logits, targets[:, : logits.shape[1]].clamp_min(0), by)

    def penultimate(self, inputs: Tensor, batch: Batch) -> Tensor:
        """The mean (B, D) over the places that predict label tokens, the last of what goes in (B, L, D)."""
        labels = self.trimmed(batch).targets != IGNORED
        return token_ids.mean(inputs[:, -labels.shape[1] :], labels[..., None])

    # The model's own view of an example -------------------------------------------------------

    def draw(self, logits: Tensor, targets: Tensor, generator: torch.Generator) -> Tensor:
        """Weights (B, T, V) of the tokens in the place of each label token, after the true ones before it."""
        labels = targets[:, : logits.shape[1]] != IGNORED
        return labels[..., None] * divergence.signed_roots(logits, generator)

    def squared_norm(self, logits: Tensor, batch: Batch) -> Tensor:
        """Squared length of a token's scores, its mean over the label tokens, (B,)."""
        return self.over_labels(precise(logits).square().sum(-1), batch.targets)

    # Random targets ---------------------------------------------------------------------------

    def relabel(self, targets: Tensor, donors: Tensor, classes: int, generator: torch.Generator) -> Tensor:
        """The donors' answers; where one equals the target, the next donor's that does not."""
        wrong = donors
        for step in range(1, len(donors) + 1):
            same = (wrong == targets).all(dim=1)
            if not same.any():
                return wrong
            wrong = torch.where(same[:, None], donors.roll(step, 0), wrong)
        raise UsageError("random answers need examples whose answers differ")
