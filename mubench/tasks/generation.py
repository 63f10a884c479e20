"""Tasks whose rows are a prompt and the text that answers it, as they lie on the hub."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mubench.tasks.base import Raw, RawSplit
from mubench.tasks.hub import HubTask


@dataclass
class HubGeneration(HubTask):
    """The target of a row is the text in its field `answer`.

    `known_empty` lists rows of the upstream data that have no prompt, by split: they are dropped before
    rows are counted. Any other empty text is an error that names its row.
    """

    known_empty: dict[str, list[int]] = field(default_factory=dict)

    def load(self) -> Raw:
        """Rows in the hub's order."""
        return Raw({name: self._split(name, self.table(theirs)) for name, theirs in self.splits.items()}, ())

    def _split(self, name: str, table: Any) -> RawSplit:
        rows, listed = self.columns(table), self.known_empty.get(name, [])
        dropped = [row for row in listed if row < len(table) and not (rows["prompt"][row] or "").strip()]
        if dropped:
            kept = np.setdiff1d(np.arange(len(table)), dropped)
            rows = self.columns(table.select(kept))
        return RawSplit(rows, unlabelled(len(table) - len(dropped)))


def unlabelled(count: int) -> np.ndarray:
    """The one stratum of rows whose target is no class, (count,)."""
    return np.zeros(count, dtype=np.int64)
