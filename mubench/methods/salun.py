"""SalUn: random labels, moving only the weights that D_f depends on (Fan et al., 2310.12508)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from mubench.gradients import kth_smallest
from mubench.methods.random_label import RandomLabel
from mubench.run import Run
from mubench.schema import within


@dataclass
class SalUn(RandomLabel):
    """The `random_label` objective under a mask m of the weights with the largest |grad CE on D_f|.

    Weights are ranked over all layers together, by the gradient of the whole of D_f. Off the mask every
    weight keeps the original's bits: neither momentum nor weight decay moves it.
    """

    ratio: float = 0.5  # share of all weights that may move

    moves: ClassVar[Literal["all", "some", "none"]] = "some"
    whole: ClassVar[bool] = True
    source: ClassVar[tuple[str, ...]] = ("fan2024",)
    formula: ClassVar[str] = (
        "min mean CE(D_r and D_f with y~), moving only the ratio of w "
        "with the largest |grad mean CE(D_f)| at w0"
    )
    memory: ClassVar[str] = (
        "a copy of the weights and a byte for each (three copies for a moment before the first step), "
        "and a wrong target for each row of D_f"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        within("method.ratio", self.ratio, 0, 1, "(]")

    def prepare(self, run: Run) -> None:
        """The mask at the original's weights, ranked over all weights together."""
        self._mask = saliency_mask(run.gradients("forget"), self.ratio)
        weights = dict(run.model.named_parameters())
        self._fixed = {name: weights[name].detach().clone() for name in self._mask}

    def after_backward(self, run: Run) -> None:
        """No gradient off the mask: it neither counts for clipping nor enters the momentum."""
        for name, weight in run.model.named_parameters():
            if weight.grad is not None:
                weight.grad.mul_(self._mask[name])

    @torch.no_grad()
    def after_step(self, run: Run) -> None:
        """Weights off the mask back to the original's bits, whatever weight decay did to them."""
        for name, weight in run.model.named_parameters():
            if name in self._mask:
                weight.copy_(torch.where(self._mask[name], weight, self._fixed[name]))


def saliency_mask(gradients: dict[str, Tensor], ratio: float) -> dict[str, Tensor]:
    """True on the `ratio` of all weights with the largest |gradient|; ties are cut in order of place.

    One flat copy of the gradients and a k-th value, no sorting.
    """
    flat = torch.cat([g.abs().flatten() for g in gradients.values()])
    count = max(1, round(ratio * len(flat)))
    threshold = kth_smallest(flat, len(flat) - count)
    chosen = flat > threshold
    ties = (flat == threshold).nonzero().flatten()
    chosen[ties[: count - int(chosen.sum())]] = True
    sizes = [g.numel() for g in gradients.values()]
    parts = zip(gradients.items(), torch.split(chosen, sizes), strict=True)
    return {name: part.view_as(gradient) for (name, gradient), part in parts}
