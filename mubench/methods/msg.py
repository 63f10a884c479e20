"""MSG: fresh values where D_f and D_r agree on a kernel (Cadet et al., 2410.01276)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from mubench.methods.finetune import Finetune
from mubench.methods.renewal import renew_where, spatial_weights
from mubench.methods.salun import saliency_mask
from mubench.run import Run
from mubench.schema import within


@dataclass
class MSG(Finetune):
    """Fresh values for the `share` of each kernel's weights with the smallest |g|; min mean CE on D_r.

    g is the gradient of mean CE on as many random examples of D_r as D_f has, minus mean CE on D_f, at w0.
    The kernels' other weights move by `slow` times their steps: with plain SGD that is a gradient scaled so,
    as in the source, and an adaptive optimizer, which would undo a scaled gradient, cannot undo it.
    """

    share: float = 0.3  # of each kernel, begun afresh: more forgets more
    slow: float = 0.1  # of their steps that the kernels' other weights take

    needs: ClassVar[frozenset[str]] = frozenset({"forget", "retain"})
    layers: ClassVar[Literal["all", "convolutions"]] = "convolutions"
    whole: ClassVar[bool] = True
    source: ClassVar[tuple[str, ...]] = ("cadet2024", "triantafillou2024")
    formula: ClassVar[str] = (
        "g = grad of mean CE(D_r sample) - mean CE(D_f); the `share` of each kernel with the smallest |g| "
        "freshly initialised; min mean CE on D_r, the steps of the kernels' other weights times `slow`"
    )
    memory: ClassVar[str] = "one copy of the kernels, one gradient in `prepare`"

    def __post_init__(self) -> None:
        within("method.share", self.share, 0, 1, "[)")
        within("method.slow", self.slow, 0, 1)

    def prepare(self, run: Run) -> None:
        """Which weights begin afresh, kernel by kernel."""
        sample = run.sample("retain", len(run.rows["forget"]))
        retain, forget = run.gradients(sample), run.gradients("forget")
        self._renewed: dict[str, Tensor] = {}
        for name, weight in spatial_weights(run).items():
            zero = torch.zeros_like(weight)
            gradient = retain.get(name, zero) - forget.get(name, zero)
            self._renewed[name] = ~saliency_mask({name: gradient}, 1 - self.share)[name]

    def after_backward(self, run: Run) -> None:
        """Where the kernels stand before the step."""
        weights = run.weights
        self._before = {name: weights[name].detach().clone() for name in self._renewed}

    @torch.no_grad()
    def after_step(self, run: Run) -> None:
        """Weights that were not renewed go part of the way."""
        weights = run.weights
        for name, renewed in self._renewed.items():
            before = self._before[name]
            short = before + self.slow * (weights[name] - before)
            weights[name].copy_(torch.where(renewed, weights[name], short))

    def unlearn(self, run: Run) -> None:
        """Begin afresh, then learn D_r."""
        renew_where(run, self._renewed)
        super().unlearn(run)
