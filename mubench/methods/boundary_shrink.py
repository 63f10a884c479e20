"""Boundary shrink: D_f to the nearest wrong class, found by one gradient step (Chen et al., CVPR 2023)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from mubench.data import Batch
from mubench.methods.base import Method
from mubench.run import Run
from mubench.schema import within


@dataclass
class BoundaryShrink(Method):
    """min mean CE on D_f with y' = argmax over c != y of f_w0(x')_c, x' = x + e sign(grad_x CE(f_w0(x), y)).

    x is what the network computes on: pixels, waves, the embeddings of a text's tokens.
    """

    step: float = 0.3  # towards the boundary, in deviations of the example's own values

    families: ClassVar[frozenset[str]] = frozenset({"classes"})
    source: ClassVar[tuple[str, ...]] = ("chen2023",)
    formula: ClassVar[str] = (
        "min mean CE(x, y') on D_f, y' = argmax over c != y of f_w0(x')_c, "
        "x' = x + step sign(grad_x CE(f_w0(x), y))"
    )
    memory: ClassVar[str] = "one copy of the weights"

    def __post_init__(self) -> None:
        within("method.step", self.step, 0, 1e3)

    def acts(self, setting: str, gives: frozenset[str], classes: int) -> bool:
        """Of two classes one alone is wrong, however far the step."""
        return classes > 2

    def prepare(self, run: Run) -> None:
        """The original finds the boundary, also after the model has moved."""
        self._original = run.original

    def loss(self, run: Run, batch: Batch) -> Tensor:  # type: ignore[override]
        """The task's loss on the nearest wrong classes."""
        return run.reduce(run.modality.losses(run.logits(batch), self.nearest(run, batch)), "forget")

    def nearest(self, run: Run, batch: Batch) -> Tensor:
        """The wrong class (B,) that the original likes best one step across the boundary."""
        modality = run.modality
        with torch.enable_grad():
            signal = modality.signal(self._original, batch)
            values = signal.values.detach().requires_grad_(True)
            losses = modality.losses(modality.logits_at(self._original, batch, values), batch.targets)
            losses.sum().backward(inputs=[values])  # unlike autograd.grad, torch can count its operations
        assert values.grad is not None
        with torch.no_grad():
            across = values + self.step * signal.deviation * values.grad.sign()
            scores = modality.logits_at(self._original, batch, across)
            return modality.lowered(scores, batch.targets, float("inf")).argmax(-1)
