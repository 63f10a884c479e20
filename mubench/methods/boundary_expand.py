"""Boundary expand: D_f into a class of its own, which is then dropped (Chen et al., CVPR 2023)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from mubench import anatomy
from mubench.data import Batch
from mubench.methods.base import Method
from mubench.run import Run

SHADOW = "shadow"  # the name of the extra class's weights within the model, while it is there


@dataclass
class BoundaryExpand(Method):
    """min mean CE on D_f with the label K + 1, whose score is a new output of the head; then without it."""

    families: ClassVar[frozenset[str]] = frozenset({"classes"})
    whole: ClassVar[bool] = True
    source: ClassVar[tuple[str, ...]] = ("chen2023",)
    formula: ClassVar[str] = (
        "min mean CE(x, K + 1) on D_f under a head of K + 1 classes, the last then dropped"
    )

    def loss(self, run: Run, batch: Batch) -> Tensor:  # type: ignore[override]
        """The loss of the extra class, the last of the scores."""
        scores = run.logits(batch)
        shadow = torch.full_like(batch.targets, scores.shape[-1] - 1)
        return run.reduce(run.modality.losses(scores, shadow), "forget")

    def unlearn(self, run: Run) -> None:
        """Train all weights under the wider head, which is narrow again at the end."""
        with _wider(run.model, run.spec.classes, run.generator()):
            super().unlearn(run)


@contextmanager
def _wider(model: nn.Module, classes: int, generator: torch.Generator) -> Iterator[None]:
    """Inside, the model gives one more score, of weights that spread as those of the others do."""
    layer = anatomy.scorer(model, classes)
    weight = layer.weight.detach()
    # Its own draws would come from torch's global generator.
    shadow = nn.utils.skip_init(nn.Linear, weight.shape[1], 1, device=weight.device, dtype=weight.dtype)
    with torch.no_grad():
        shadow.weight.copy_(weight.std() * torch.randn(shadow.weight.shape, generator=generator).to(weight))
        shadow.bias.zero_()

    def widen(_layer: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
        return torch.cat([output, shadow(inputs[0])], dim=-1)

    model.add_module(SHADOW, shadow)
    hook = layer.register_forward_hook(widen)
    try:
        yield
    finally:
        hook.remove()
        delattr(model, SHADOW)
