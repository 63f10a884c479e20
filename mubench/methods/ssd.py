"""SSD: dampen the weights that matter to D_f far more than to all data (Foster et al., 2308.07707)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from mubench import gradients
from mubench.methods.one_shot import OneShot, told
from mubench.run import Run, StreamName
from mubench.schema import within


@dataclass
class Dampening(OneShot, ABC):
    """w *= min(dampening I_D / I_f, 1) where I_f > alpha I_D; what alpha is, a subclass says.

    I is the importance of a weight: its mean squared gradient, per example; I_D over D_f and D_r together.
    """

    dampening: float = 1.0  # lambda: less leaves less of a chosen weight

    stream: ClassVar[StreamName] = "mixed"
    needs: ClassVar[frozenset[str]] = frozenset({"forget", "retain"})
    memory: ClassVar[str] = "two copies of the weights, and 256 MiB of gradients or one example's if larger"
    moves: ClassVar[Literal["all", "some", "none"]] = "some"

    def __post_init__(self) -> None:
        within("method.dampening", self.dampening, 0, 1e6)

    @abstractmethod
    def threshold(self, run: Run, ratios: Mapping[str, Tensor], share: float) -> float:
        """Alpha, from I_f / I_D of all weights, and from |D_f| / |D|; a ratio is NaN where both are 0."""

    def importance(self, run: Run, name: str) -> dict[str, Tensor]:
        """I of every weight on a set."""
        parts = run.per_example(name)
        return gradients.mean(told(run, f"importance on the {name} set", len(run.rows[name]), parts))

    def edited(self, run: Run) -> Iterator[tuple[str, Tensor]]:
        """Chosen weights smaller, the others as they were."""
        forget, retain = len(run.rows["forget"]), len(run.rows["retain"])
        share = forget / (forget + retain)
        ratios, others = self.importance(run, "forget"), self.importance(run, "retain")
        for name, mine in ratios.items():
            ratios[name] = mine / others.pop(name).mul_(1 - share).add_(mine, alpha=share)
        alpha = self.threshold(run, ratios, share)
        for name, weight in run.weights.items():
            factor = (self.dampening / ratios[name]).clamp_max(1)
            yield name, torch.where(ratios[name] > alpha, weight.detach() * factor, weight.detach())


@dataclass
class SSD(Dampening):
    """Dampening with an alpha of one's own. No ratio exceeds |D| / |D_f|: from there on nothing is chosen."""

    alpha: float = 4.0  # how much more a weight must matter to D_f: less dampens more weights

    trial: ClassVar[Mapping[str, Any]] = {"alpha": 1.2}
    source: ClassVar[tuple[str, ...]] = ("foster2024ssd",)
    formula: ClassVar[str] = (
        "where I_f > alpha I_D: w = w0 min(dampening I_D / I_f, 1), "
        "I = mean over examples of (grad CE)^2, D = D_f and D_r"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        within("method.alpha", self.alpha, 0, 1e9)

    def threshold(self, run: Run, ratios: Mapping[str, Tensor], share: float) -> float:
        """The setting."""
        if self.alpha >= 1 / share:
            run.reporter.warn(
                f"method.alpha={self.alpha:g} chooses no weight: I_f <= {1 / share:.3g} I_D here"
            )
        return self.alpha
