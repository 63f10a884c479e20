"""SatImp: ascent on tokens that are neither forgotten nor certain (Yang et al., 2505.11953)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from mubench.methods.forgetting import WeightedAscent
from mubench.schema import within


@dataclass
class SatImp(WeightedAscent):
    """min -mean p^beta1 (1 - p)^beta2 CE per label token of D_f; the weight is a constant."""

    beta1: float = 5.0  # saturation: the larger, the less tokens count that became unlikely
    beta2: float = 1.0  # importance: the larger, the less tokens count that anyone would guess

    source: ClassVar[tuple[str, ...]] = ("yang2025satimp",)
    formula: ClassVar[str] = (
        "min -mean p_w(y)^beta1 (1 - p_w(y))^beta2 CE(D_f) per label token + alpha mean CE(D_r), "
        "p^beta1 (1 - p)^beta2 a constant"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        within("method.beta1", self.beta1, 0, 1e3)
        within("method.beta2", self.beta2, 0, 1e3)

    def weights(self, log_p: Tensor) -> Tensor:
        """p^beta1 (1 - p)^beta2."""
        return (self.beta1 * log_p).exp() * (-log_p.expm1()) ** self.beta2
