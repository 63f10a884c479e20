"""Wrong targets for the forget set: random ones, drawn once or for each pass, the same on every machine."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from mubench.data import Batch, Columns
from mubench.modalities.base import Modality


@dataclass
class WrongTargets:
    """Targets of D_f that are not its own, by training row."""

    columns: Columns  # of the training set
    forget: Tensor  # rows of D_f, (n_f,)
    retain: Tensor  # rows of D_r, whose targets are given away where there are no classes
    modality: Modality
    classes: int
    seed: int
    device: torch.device
    _drawn: tuple[int, Tensor] | None = field(default=None, init=False)  # number of the drawing, and targets

    def __post_init__(self) -> None:
        place = torch.zeros(len(self.columns), dtype=torch.int64)
        place[self.forget] = torch.arange(len(self.forget))
        self._place = place.to(self.device)  # within D_f, of each training row; 0 for rows of D_r

    def put_in(self, batch: Batch, mask: Tensor, number: int) -> Batch:
        """The batch with wrong targets in its rows of D_f, where `mask` (B,) is true.

        `number` tells one drawing from another.
        """
        if self._drawn is None or self._drawn[0] != number:
            self._drawn = (number, self._draw(number))
        wrong = self._drawn[1][self._place[batch.index]]
        return replace(batch, targets=self.modality.merge(batch.targets, wrong, mask))

    def _draw(self, number: int) -> Tensor:
        """A wrong target for each row of D_f, (n_f, ...)."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + number)
        giving = torch.Generator().manual_seed(self.seed * 1_000_003 + number + 500_009)
        place = torch.randint(len(self.retain), (len(self.forget),), generator=giving)
        targets = self.columns.targets
        true, donors = (targets[at.to(targets.device)].cpu() for at in (self.forget, self.retain[place]))
        return self.modality.relabel(true, donors, self.classes, generator).to(self.device)
