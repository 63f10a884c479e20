"""PDU: flat scores on D_f under a bound on D_r's loss, primal and dual (Entesari et al., 2506.05314)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from mubench.data import Paired
from mubench.divergence import precise
from mubench.methods.base import Method
from mubench.run import Run, StreamName
from mubench.schema import within


@dataclass
class PDU(Method):
    """min mean (max z - mean z)^2 per label token of D_f, subject to mean CE(D_r) <= epsilon.

    Each step descends on the first term + v (CE(D_r) - epsilon), then the multiplier follows the
    constraint: v <- max(0, v + rate (CE(D_r) - epsilon)), CE that of the step's examples.
    """

    epsilon: float = 0.3  # bound on D_r's loss, in nats
    multiplier: float = 1.0  # v before the first step
    rate: float = 1.0  # how fast v follows; 0: v stays

    stream: ClassVar[StreamName] = "paired"
    needs: ClassVar[frozenset[str]] = frozenset({"forget", "retain"})
    families: ClassVar[frozenset[str]] = frozenset({"tokens"})
    source: ClassVar[tuple[str, ...]] = ("entesari2025",)
    formula: ClassVar[str] = (
        "min mean (max z - mean z)^2 per label token of D_f + v (mean CE(D_r) - epsilon); "
        "v <- max(0, v + rate (mean CE(D_r) - epsilon))"
    )

    def __post_init__(self) -> None:
        within("method.epsilon", self.epsilon, 0, 1e3)
        within("method.multiplier", self.multiplier, 0, 1e6)
        within("method.rate", self.rate, 0, 1e6)

    def prepare(self, run: Run) -> None:
        """The multiplier moves with the training: checkpoints hold it."""
        self._v = torch.tensor(self.multiplier, device=run.engine.device)
        self._seen: list[Tensor] = []  # losses of D_r in the step that is under way
        run.parts["multiplier"] = self

    def loss(self, run: Run, batch: Paired) -> Tensor:  # type: ignore[override]
        """The Lagrangian, from one forward."""
        forget, retain = batch.split(run.logits(batch.joined()))
        scores = precise(forget)
        steep = (scores.amax(-1) - scores.mean(-1)).square()
        flat = run.reduce(run.modality.over_labels(steep, batch.forget.targets), "forget")
        losses = run.modality.losses(retain, batch.retain.targets)
        self._seen.append(run.whole(losses))
        return flat + self._v * (run.reduce(losses, "retain") - self.epsilon)

    def after_step(self, run: Run) -> None:
        """The dual step."""
        self._v = (self._v + self.rate * (torch.cat(self._seen).mean() - self.epsilon)).clamp_min(0)
        self._seen.clear()

    def state_dict(self) -> dict[str, Any]:
        """The multiplier, for a checkpoint."""
        return {"v": self._v}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The multiplier that a checkpoint held."""
        self._v = state["v"].to(self._v.device)
