"""Influence unlearning: one Newton-like step away from D_f (Izzo et al., 2021; Jia et al., 2304.04934)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from mubench.methods.one_shot import OneShot
from mubench.methods.woodfisher import inverse_product
from mubench.run import Run, StreamName
from mubench.schema import within


@dataclass
class Influence(OneShot):
    """w = w0 + alpha H_r^-1 (grad_f - grad_r), H_r^-1 by WoodFisher on a sample of D_r.

    The gradients are of the mean loss over D_f and D_r. Taking D_f's weight out of the mean loss over D and
    giving it to D_r moves the minimum by this step with alpha = |D_f| / |D| (Jia et al., section 3); a
    larger alpha goes further the same way, up D_f's loss.
    """

    alpha: float = 0.2  # length of the step: more forgets more
    damping: float = 3e-2  # added to the diagonal of H_r: more takes a shorter step, more like the gradient
    samples: int = 256  # examples of D_r that H_r is made of: more are nearer to D_r's own

    stream: ClassVar[StreamName] = "mixed"
    needs: ClassVar[frozenset[str]] = frozenset({"forget", "retain"})
    source: ClassVar[tuple[str, ...]] = ("jia2023", "izzo2021", "singh2020")
    formula: ClassVar[str] = (
        "w = w0 + a H_r^-1 (grad mean CE(D_f) - grad mean CE(D_r)), "
        "H_r = damping I + mean of g g^T over a sample of D_r"
    )
    memory: ClassVar[str] = (
        "four copies of the weights, and twice 256 MiB of gradients or an example's if larger"
    )
    choices: ClassVar[dict[str, tuple[Any, ...]]] = {"samples": (4, 512)}

    def __post_init__(self) -> None:
        within("method.alpha", self.alpha, 0, 1e6, "(]")
        within("method.damping", self.damping, 0, 1e6, "(]")
        within("method.samples", self.samples, 1, 1e6)

    def edited(self, run: Run) -> Iterator[tuple[str, Tensor]]:
        """Every weight after the step."""
        direction, retain = run.gradients("forget"), run.gradients("retain")
        for name, gradient in direction.items():
            gradient.sub_(retain[name])
        del retain
        sample = run.sample("retain", self.samples)
        step = inverse_product(lambda: run.per_example(sample), direction, self.damping)
        for name, values in step.items():
            yield name, run.weights[name].detach() + self.alpha * values
