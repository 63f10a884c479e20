"""Random examples, nested by ratio: the same number of each class, or each class's own share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mubench.data import Dataset
from mubench.deletion.base import Deletion, check_ratio
from mubench.schema import one_of


@dataclass
class Random(Deletion):
    """`ratio` percent of the training rows, at least one."""

    ratio: float = 5.0
    balance: str = "class"

    def __post_init__(self) -> None:
        check_ratio(self.ratio)
        one_of("deletion.balance", self.balance, ("class", "proportional"))

    def rows(self, data: Dataset, rng: np.random.Generator) -> np.ndarray:
        """The first rows of one seeded order, so that a smaller ratio's set lies inside a larger's."""
        train = data["train"]
        count = max(1, round(self.ratio / 100 * len(train)))
        return self._order(train.labels, rng)[:count]

    def _order(self, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Rows by their rank within their class: by number (balanced) or by share (proportional)."""
        shuffled = rng.permutation(len(labels))
        by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
        sizes = np.bincount(labels)
        rank = np.concatenate([np.arange(n) for n in sizes])
        if self.balance == "proportional":
            rank = (rank + 0.5) / np.repeat(sizes, sizes)
        return by_class[np.lexsort((rng.random(len(labels)), rank))].astype(np.int64)
