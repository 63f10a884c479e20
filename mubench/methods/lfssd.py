"""LFSSD: SSD whose importance needs no labels, only the outputs (Foster et al., 2402.19308)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from mubench import gradients
from mubench.methods.one_shot import told
from mubench.methods.ssd import SSD
from mubench.run import Run


@dataclass
class LFSSD(SSD):
    """SSD where I is the mean |gradient of the squared length of the model's scores|, per example."""

    alpha: float = 1.1  # the ratios lie nearer to 1 than those of squared gradients of the loss

    source: ClassVar[tuple[str, ...]] = ("foster2024lfssd", "foster2024ssd")
    formula: ClassVar[str] = (
        "where I_f > alpha I_D: w = w0 min(dampening I_D / I_f, 1), "
        "I = mean over examples of |grad |z|^2|, D = D_f and D_r"
    )
    softmax: ClassVar[bool] = False

    def importance(self, run: Run, name: str) -> dict[str, Tensor]:
        """I of every weight on a set."""
        parts = run.per_example(name, run.modality.squared_norm)
        told_parts = told(run, f"importance on the {name} set", len(run.rows[name]), parts)
        return gradients.mean(told_parts, torch.abs)
