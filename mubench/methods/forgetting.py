"""Losses on D_f of their own, beside which the task's loss may hold D_r: what several methods share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from mubench.data import Batch, Paired
from mubench.methods.base import Method
from mubench.run import Run
from mubench.schema import within


@dataclass
class Forgetting(Method):
    """min l(D_f) + alpha mean CE(D_r), where a subclass says what l is; with alpha 0 D_r is not read."""

    alpha: float = 0.0  # weight of retaining

    needs: ClassVar[frozenset[str]] = frozenset({"forget"})

    def __post_init__(self) -> None:
        within("method.alpha", self.alpha, 0, 1e6)

    @property
    def reads(self) -> frozenset[str]:
        """D_r only where it counts."""
        return frozenset({"forget", "retain"} if self.alpha else {"forget"})

    def shown(self, run: Run, batch: Batch) -> Batch:
        """What the model is shown in place of a batch of D_f: the batch itself."""
        return batch

    def forget(self, run: Run, batch: Batch, logits: Tensor) -> Tensor:
        """The scalar l of what was `shown` and the model's scores on it."""
        raise NotImplementedError(f"{type(self).__name__} does not say how it forgets")

    def loss(self, run: Run, batch: Batch | Paired) -> Tensor:  # type: ignore[override]
        """Both terms from one forward."""
        if isinstance(batch, Batch):
            shown = self.shown(run, batch)
            return self.forget(run, shown, run.logits(shown))
        pair = Paired(self.shown(run, batch.forget), batch.retain)
        forget, retain = pair.split(run.logits(pair.joined()))
        kept = run.reduce(run.modality.losses(retain, pair.retain.targets), "retain")
        return self.forget(run, pair.forget, forget) + self.alpha * kept

    def unlearn(self, run: Run) -> None:
        """Epochs over D_f, beside as much of D_r where it counts."""
        run.fit("paired" if self.alpha else "forget", lambda batch: self.loss(run, batch))


@dataclass
class WeightedAscent(Forgetting):
    """Gradient ascent on D_f in which each label token counts by its own, constant weight."""

    families: ClassVar[frozenset[str]] = frozenset({"tokens"})
    lowers: ClassVar[bool] = True

    def weights(self, log_p: Tensor) -> Tensor:
        """The weights (B, T) of label tokens with these log-probabilities."""
        raise NotImplementedError(f"{type(self).__name__} does not say what a token weighs")

    def forget(self, run: Run, batch: Batch, logits: Tensor) -> Tensor:
        """Minus the weighted CE, its mean over the label tokens of each example."""
        log_p = run.modality.label_log_probs(logits, batch.targets)
        weighted = self.weights(log_p.detach()) * -log_p
        return -run.reduce(run.modality.over_labels(weighted, batch.targets), "forget")
