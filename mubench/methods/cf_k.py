"""CF-k: catastrophic forgetting by fine-tuning only the last blocks on D_r (Goel et al., 2201.06640)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from mubench import anatomy
from mubench.methods.finetune import Finetune
from mubench.run import Run
from mubench.schema import within


@dataclass
class CFk(Finetune):
    """min mean CE on D_r over the last k blocks and the head.

    All else keeps its bits: running statistics of normalisations too.

    Blocks are the repeated parts in order, an encoder's before a decoder's. A head that shares its weight
    with the embeddings is as much the first layer as the last, and rests.
    """

    k: int = 1  # blocks that train, from the last one: more forget more, and cost more

    source: ClassVar[tuple[str, ...]] = ("goel2022",)
    formula: ClassVar[str] = "min mean CE on D_r from w0, over the last k blocks and the head"
    moves: ClassVar[Literal["all", "some", "none"]] = "some"

    def __post_init__(self) -> None:
        within("method.k", self.k, 0, 1e6)

    def names(self, run: Run) -> set[str]:
        """Names of the weights that train."""
        head = anatomy.head(run.model, run.classes)
        blocks = [name for name, _ in anatomy.blocks(run.model) if name not in head]
        return anatomy.own_weights(run.model, [*blocks[max(0, len(blocks) - self.k) :], *head])

    def unlearn(self, run: Run) -> None:
        """The recipe's epochs over D_r, the earlier weights held."""
        with run.only(self.names(run)):
            super().unlearn(run)
