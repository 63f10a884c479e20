"""Successive random labels: wrong labels on D_f, new ones each epoch (Graves et al., 2021; 2410.01276)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from mubench.data import Batch
from mubench.methods.base import Method
from mubench.run import Run, StreamName


@dataclass
class SuccessiveRandomLabels(Method):
    """min mean CE over D_r and over D_f with wrong labels that are drawn anew each epoch.

    The same as `random_label` with `redraw: epoch`, under the name by which Deep Unlearn compares it.
    """

    stream: ClassVar[StreamName] = "mixed"
    needs: ClassVar[frozenset[str]] = frozenset({"forget", "retain"})
    source: ClassVar[tuple[str, ...]] = ("cadet2024", "graves2021")
    formula: ClassVar[str] = "min mean CE(D_r and D_f with labels drawn from the K-1 wrong ones each epoch)"
    lowers: ClassVar[bool] = True

    def loss(self, run: Run, batch: Batch) -> Tensor:  # type: ignore[override]
        """Mean CE on the relabelled batch."""
        return run.reduce(run.losses(run.relabel(batch, "epoch")), "mixed")
