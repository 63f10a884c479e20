"""Whole groups: every row of some people, authors or speakers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mubench.data import Dataset
from mubench.deletion.base import Deletion, check_ratio
from mubench.errors import NotApplicable, UsageError, did_you_mean
from mubench.schema import one_of


@dataclass
class Group(Deletion):
    """Groups at random or from the end of the data, until about `ratio` percent of the rows go.

    `names` takes the place of the ratio: exactly these groups.
    """

    ratio: float = 5.0
    order: str = "random"
    names: list[str] | None = None

    def __post_init__(self) -> None:
        check_ratio(self.ratio)
        one_of("deletion.order", self.order, ("random", "last"))
        if self.names is not None and not self.names:
            raise UsageError("deletion.names names no group to forget")

    def rows(self, data: Dataset, rng: np.random.Generator) -> np.ndarray:
        """All rows of the first groups of one seeded order, so that ratios are nested; at least one group."""
        groups = data["train"].groups
        if groups is None:
            raise NotApplicable(
                f"deletion '{self.name}': this task's rows belong to no groups such as people or authors; "
                "try deletion=random (mubench ls deletions)"
            )
        if self.names is not None:
            chosen = np.array([_number(data, groups, name) for name in self.names])
            return np.flatnonzero(np.isin(groups, chosen)).astype(np.int64)
        present, sizes = np.unique(groups, return_counts=True)
        order = rng.permutation(len(present)) if self.order == "random" else np.arange(len(present))[::-1]
        wanted = self.ratio / 100 * len(groups)
        count = int(np.abs(np.cumsum(sizes[order]) - wanted).argmin()) + 1
        rank = np.full(int(present.max()) + 1, len(present))
        rank[present[order]] = np.arange(len(present))
        inside = np.flatnonzero(rank[groups] < count)
        return inside[np.argsort(rank[groups[inside]], kind="stable")].astype(np.int64)


def _number(data: Dataset, groups: np.ndarray, name: str) -> int:
    """The number of a group in the training set; UsageError with the nearest name."""
    known = {data.groups[number] for number in np.unique(groups)}
    if name not in known:
        hint = did_you_mean(name, known)
        raise UsageError(f"deletion.names: no training row belongs to '{name}'.{hint}")
    return data.groups.index(name)
