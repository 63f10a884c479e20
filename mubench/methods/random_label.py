"""Fine-tuning with random wrong labels on the forget set (Graves et al., 2021, 2010.10981)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from mubench.data import Batch
from mubench.methods.base import Method
from mubench.run import Run, StreamName
from mubench.schema import one_of


@dataclass
class RandomLabel(Method):
    """min mean CE over D_r and over D_f with labels drawn uniformly from the K - 1 wrong ones.

    Where the target is a text or a picture, it is that of another, random example of D_r.
    """

    redraw: str = "once"  # once | epoch: new wrong labels for each pass forget less abruptly

    stream: ClassVar[StreamName] = "mixed"
    needs: ClassVar[frozenset[str]] = frozenset({"forget", "retain"})
    source: ClassVar[tuple[str, ...]] = ("graves2021",)
    lowers: ClassVar[bool] = True
    choices: ClassVar[Mapping[str, tuple[Any, ...]]] = {"redraw": ("once", "epoch")}
    formula: ClassVar[str] = "min mean CE(D_r and D_f with y~), y~ uniform over the K - 1 wrong labels"
    memory: ClassVar[str] = "a wrong target for each row of D_f"

    def __post_init__(self) -> None:
        one_of("method.redraw", self.redraw, self.choices["redraw"])

    def acts(self, setting: str, gives: frozenset[str], classes: int) -> bool:
        """Of two classes one alone is wrong, however often it is drawn."""
        return setting != "redraw" or classes != 2

    def loss(self, run: Run, batch: Batch) -> Tensor:  # type: ignore[override]
        """Mean CE on the relabelled batch."""
        return run.reduce(run.losses(run.relabel(batch, self.redraw)), "mixed")
