"""MultiDelete: pictures and texts of D_f made strangers to each other (Cheng & Amiri, 2311.12047)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from mubench.data import Paired
from mubench.divergence import precise
from mubench.errors import UsageError
from mubench.methods.base import Method
from mubench.run import Run, StreamName
from mubench.schema import within


@dataclass
class MultiDelete(Method):
    """min |h_w(I_i, T_i) - h_w0(I_i, T_j)|^2 + |f_w - f_w0|^2 on D_f, + |h_w - h_w0|^2 on D_r, each weighed.

    h are the features that the head reads, f those of picture and text by themselves, j another example
    of D_f, drawn once. Squares are means over the features.
    """

    decouple: float = 1.0  # weight of tearing pictures and texts of D_f apart
    unimodal: float = 1.0  # weight of keeping what is known of each by itself
    retain: float = 1.0  # weight of keeping what is known of D_r

    stream: ClassVar[StreamName] = "paired"
    needs: ClassVar[frozenset[str]] = frozenset({"forget", "retain"})
    families: ClassVar[frozenset[str]] = frozenset({"image_text"})
    source: ClassVar[tuple[str, ...]] = ("cheng2024",)
    formula: ClassVar[str] = (
        "min decouple MSE(h_w(I_i, T_i), h_w0(I_i, T_j)) + unimodal MSE(f_w, f_w0) on D_f "
        "+ retain MSE(h_w, h_w0) on D_r"
    )
    moves: ClassVar[Literal["all", "some", "none"]] = "some"  # the head reads the features, and rests
    memory: ClassVar[str] = "one copy of the weights"

    def __post_init__(self) -> None:
        for name in ("decouple", "unimodal", "retain"):
            within(f"method.{name}", getattr(self, name), 0, 1e9)

    def prepare(self, run: Run) -> None:
        """The teacher, and a partner for each row of D_f: the next in a random circle, never itself."""
        self._original, rows = run.original, run.rows["forget"]
        if len(rows) < 2:
            raise UsageError("method 'multi_delete' needs two examples to forget: their texts change places")
        circle = rows[torch.randperm(len(rows), generator=run.generator())]
        self._partner = torch.zeros(len(run.columns["train"]), dtype=torch.int64)
        self._partner[circle] = circle.roll(1)

    def loss(self, run: Run, batch: Paired) -> Tensor:  # type: ignore[override]
        """The three terms."""
        modality, forget, retain = run.modality, batch.forget, batch.retain
        partners = run.columns["train"].take(self._partner[forget.index.cpu()], run.engine.device)
        with torch.no_grad():
            strangers = modality.recombined(forget, run.prepare(partners))
            _, apart = modality.unimodal_and_fused(self._original, strangers)
            alone, _ = modality.unimodal_and_fused(self._original, forget)
            _, kept = modality.unimodal_and_fused(self._original, retain)
        own, fused = modality.unimodal_and_fused(run.model, forget)
        _, remembered = modality.unimodal_and_fused(run.model, retain)
        return (
            self.decouple * run.reduce(_squares(fused, apart), "forget")
            + self.unimodal * run.reduce(_squares(own, alone), "unimodal")
            + self.retain * run.reduce(_squares(remembered, kept), "retain")
        )


def _squares(features: Tensor, target: Tensor) -> Tensor:
    """The mean squared difference of features (B, F), per example."""
    return (precise(features) - precise(target)).square().mean(1)
