"""Influence unlearning: one Newton-like step away from D_f (Izzo et al., 2021; Jia et al., 2304.04934)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from mubench.methods.one_shot import OneShot, length
from mubench.methods.woodfisher import inverse_product
from mubench.run import Run, StreamName
from mubench.schema import within


@dataclass
class Influence(OneShot):
    """w = w0 + alpha |w0| d / |d|, d = H_r^-1 (grad_f - grad_r), H_r^-1 by WoodFisher on a sample of D_r.

    The gradients are of the mean loss over D_f and D_r. Taking D_f's weight out of the mean loss over D and
    giving it to D_r moves the minimum by |D_f| / |D| d (Jia et al., section 3); they too multiply it by a
    free factor. Where D is known by heart the length of d says nothing: a Hessian made of gradients that
    vanish vanishes faster than they do, so that d grows without bounds. So the factor is told by how far it
    moves the weights, which means the same on every task.
    """

    alpha: float = 5e-3  # length of the step as a share of the weights': more forgets more
    damping: float = 1e-4  # added to H_r's diagonal, in units of its trace: more is more like the gradient
    samples: int = 512  # examples of D_r that H_r is made of: those that are in it are protected

    stream: ClassVar[StreamName] = "mixed"
    needs: ClassVar[frozenset[str]] = frozenset({"forget", "retain"})
    source: ClassVar[tuple[str, ...]] = ("jia2023", "izzo2021", "singh2020")
    formula: ClassVar[str] = (
        "w = w0 + alpha |w0| d / |d|, d = H_r^-1 (grad mean CE(D_f) - grad mean CE(D_r)), "
        "H_r = mean of g g^T + damping mean |g|^2 I over a sample of D_r"
    )
    memory: ClassVar[str] = (
        "four copies of the weights, and twice 256 MiB of gradients or an example's if larger"
    )
    choices: ClassVar[dict[str, tuple[Any, ...]]] = {"samples": (4, 1024)}

    def __post_init__(self) -> None:
        within("method.alpha", self.alpha, 0, 10, "(]")
        within("method.damping", self.damping, 0, 1e6, "(]")
        within("method.samples", self.samples, 1, 1e6)

    def edited(self, run: Run) -> Iterator[tuple[str, Tensor]]:
        """Every weight after the step; as it was where no direction is."""
        direction, retain = run.gradients("forget"), run.gradients("retain")
        for name, gradient in direction.items():
            gradient.sub_(retain[name])
        del retain
        sample = run.sample("retain", self.samples)
        step = inverse_product(lambda: run.per_example(sample), direction, self.damping)
        weights = {name: run.weights[name].detach() for name in step}
        far = length(step)
        factor = self.alpha * length(weights) / far if far else 0.0
        for name, values in step.items():
            yield name, weights[name] + factor * values
