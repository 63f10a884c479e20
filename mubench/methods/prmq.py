"""PRMQ: kernels pruned and begun afresh, entropies kept (Cadet et al., 2410.01276)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from mubench.data import Batch
from mubench.methods.base import Method
from mubench.methods.renewal import renew_where, spatial_weights
from mubench.methods.salun import saliency_mask
from mubench.run import Run, StreamName
from mubench.schema import within


@dataclass
class PRMQ(Method):
    """Fresh values for the `pruned` share of the smallest weights; min CE + entropy (H_w - H_w0)^2 on D_r.

    Weights are ranked by size, over all kernels together. H is the entropy of the predicted distribution;
    where noise is predicted, which has none, the squared difference of the predictions takes its place.
    """

    pruned: float = 0.99  # share of the weights that begin afresh: more forgets more
    entropy: float = 1.0  # weight of the entropy's term

    stream: ClassVar[StreamName] = "retain"
    needs: ClassVar[frozenset[str]] = frozenset({"retain"})
    layers: ClassVar[Literal["all", "convolutions"]] = "convolutions"
    whole: ClassVar[bool] = True
    source: ClassVar[tuple[str, ...]] = ("cadet2024", "triantafillou2024")
    formula: ClassVar[str] = (
        "the `pruned` share of all kernels' weights with the smallest |w| freshly initialised; "
        "min mean CE + entropy (H(p_w) - H(p_w0))^2 on D_r"
    )
    memory: ClassVar[str] = "a copy of the weights"
    distils: ClassVar[bool] = True

    def __post_init__(self) -> None:
        within("method.pruned", self.pruned, 0, 1, "[)")
        within("method.entropy", self.entropy, 0, 1e6)

    def prepare(self, run: Run) -> None:
        """The teacher is the original; what is pruned is chosen before it moves."""
        self._teacher = run.original
        kept = saliency_mask({n: w.detach() for n, w in spatial_weights(run).items()}, 1 - self.pruned)
        self._pruned = {name: ~mask for name, mask in kept.items()}

    def loss(self, run: Run, batch: Batch) -> Tensor:  # type: ignore[override]
        """The task's loss, and how far the predictions' entropy is from the original's, on D_r."""
        logits = run.logits(batch)
        task = run.reduce(run.modality.losses(logits, batch.targets), "task")
        gap = run.modality.entropy_gap(run.logits(batch, self._teacher), logits, batch.targets)
        return task + self.entropy * run.reduce(gap, "retain")

    def unlearn(self, run: Run) -> None:
        """Begin afresh, then learn D_r."""
        renew_where(run, self._pruned)
        super().unlearn(run)
