"""ASSD: SSD that chooses its own threshold from the size of D_f (Schoepf et al., 2402.10098)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from mubench.gradients import kth_smallest
from mubench.methods.ssd import Dampening
from mubench.run import Run


@dataclass
class ASSD(Dampening):
    """Dampening where alpha is a percentile of I_f / I_D over all weights: 100 - ln(1 + 100 |D_f| / |D|).

    So about 1.1 % of the weights are dampened for 2 % of the data, 2.4 % for 10 %.
    """

    source: ClassVar[tuple[str, ...]] = ("schoepf2024", "foster2024ssd")
    formula: ClassVar[str] = (
        "where I_f > alpha I_D: w = w0 min(dampening I_D / I_f, 1), "
        "I = mean over examples of (grad CE)^2, D = D_f and D_r, "
        "alpha = the percentile 100 - ln(1 + 100 |D_f| / |D|) of I_f / I_D over all weights"
    )
    memory: ClassVar[str] = "four copies of the weights, and 256 MiB of gradients or one example's if larger"

    def threshold(self, run: Run, ratios: Mapping[str, Tensor], share: float) -> float:
        """The percentile, between two ranks by their distance; weights without gradients do not count."""
        flat = torch.cat([values[~values.isnan()] for values in ratios.values()])
        place = (1 - math.log1p(100 * share) / 100) * (len(flat) - 1)
        low, high = (float(kth_smallest(flat, at)) for at in (math.floor(place), math.ceil(place)))
        return low + (place - math.floor(place)) * (high - low)
