"""Fine-tuning on the retain set, in the hope that D_f is forgotten on the way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from mubench.data import Batch
from mubench.methods.base import Method
from mubench.run import Run, StreamName


@dataclass
class Finetune(Method):
    """min mean CE on D_r, from the original's weights.

    D_f is never seen: what is forgotten of it is what training on the rest does not keep.
    """

    stream: ClassVar[StreamName] = "retain"
    needs: ClassVar[frozenset[str]] = frozenset({"retain"})
    source: ClassVar[tuple[str, ...]] = ("golatkar2020",)
    formula: ClassVar[str] = "min mean CE(D_r), from w0"

    def loss(self, run: Run, batch: Batch) -> Tensor:  # type: ignore[override]
        """Mean CE."""
        return run.reduce(run.losses(batch), "retain")
