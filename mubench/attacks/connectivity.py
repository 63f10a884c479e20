"""The straight line between two models' weights: loss barriers (Frankle et al., 1912.05671), and mixtures.

A mixture of the unlearned and the original model judges the forgetting where D_r has not suffered
(unlearning with control; Wang et al., 2406.09179).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from mubench.attacks.base import Attack, Columns, Target, columns
from mubench.connect.walk import renew_statistics
from mubench.metrics.base import Curves
from mubench.schema import within


@dataclass
class Connectivity(Attack):
    """Look at D_f, D_r and test along the straight lines to the original and to the retrained model.

    Batch normalisation gets its statistics anew from D_r at every point, both ends among them.
    """

    points: int = 11  # at equal steps of t from 0, the model itself, to 1, both ends among them

    source: ClassVar[tuple[str, ...]] = ("siddiqui2025", "wang2025control", "frankle2020")
    formula: ClassVar[str] = "loss((1 - t) w + t w') for w' the original and the retrained model"

    def __post_init__(self) -> None:
        super().__post_init__()
        within("points", self.points, 2, 10_001)

    def curves(self, target: Target) -> Curves:
        """Series `original` and `retrained`: split metrics by `t`."""
        return {role: self._line(target, role) for role in ("original", "retrained")}

    def _line(self, target: Target, role: str) -> Columns | str:
        if role == target.role:
            return f"it is the {role} model itself"
        if role not in target.others:
            return f"there is no {role} model"
        if target.role == "original":
            return "the line between original and retrained model is that of the retrained model"
        last, network = target.others[role].state_dict(), target.copy()
        first = target.network.state_dict()
        points = []
        for number in range(self.points):
            t = number / (self.points - 1)
            mix(network, first, last, t)
            renew_statistics(target.bench, network, "retain")
            points.append({"t": t, **self.measure(target, network)})
        return columns(points)


@torch.no_grad()
def mix(network: nn.Module, first: dict[str, Tensor], last: dict[str, Tensor], t: float) -> None:
    """Fill a network with (1 - t) first + t last; whole numbers and the ends are copied to the bit."""
    for name, value in network.state_dict().items():
        a, b = first[name], last[name]
        nearer = a if t < 0.5 else b
        value.copy_(nearer if t in (0, 1) or not value.is_floating_point() else torch.lerp(a, b, t))
