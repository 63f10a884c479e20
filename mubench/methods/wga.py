"""WGA: gradient ascent that slows down on tokens already forgotten (Wang et al., 2502.19301)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from mubench.methods.forgetting import WeightedAscent
from mubench.schema import within


@dataclass
class WGA(WeightedAscent):
    """min -mean p^beta CE per label token of D_f; the weight p^beta is a constant."""

    beta: float = 1.0  # 0: plain ascent; above, tokens that became unlikely count for less

    source: ClassVar[tuple[str, ...]] = ("wang2025",)
    formula: ClassVar[str] = (
        "min -mean p_w(y)^beta CE(D_f) per label token + alpha mean CE(D_r), p^beta a constant"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        within("method.beta", self.beta, 0, 1e3)

    def weights(self, log_p: Tensor) -> Tensor:
        """p^beta."""
        return (self.beta * log_p).exp()
