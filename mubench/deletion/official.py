"""MU-Bench's published lists of deleted samples (arXiv 2406.14796), regenerated from the labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mubench.data import Dataset
from mubench.deletion.base import Deletion, check_ratio, rows_of_ids
from mubench.errors import NotApplicable
from mubench.official import first_percent, official_ids


@dataclass
class Official(Deletion):
    """The first `ratio` percent of the task's list; lists end at 10 percent."""

    ratio: float = 5.0

    def __post_init__(self) -> None:
        check_ratio(self.ratio)
        first_percent(np.arange(1000), self.ratio)  # refuses what the lists do not reach

    def check(self, task: Mapping[str, Any]) -> None:
        """Needs a list."""
        if task.get("official") is None:
            raise NotApplicable(
                f"deletion '{self.name}': task '{task.get('name')}' has no official list; "
                "try deletion=random (mubench ls deletions)"
            )

    def rows(self, data: Dataset, rng: np.random.Generator) -> np.ndarray:
        """Needs the labels of all rows as published: a part of the data set is refused."""
        if data.official is None:
            raise NotApplicable(f"deletion '{self.name}': this task has no official list")
        ids = first_percent(official_ids(data.official, data.labels), self.ratio)
        return rows_of_ids(data["train"], ids, f"official list of {data.official}")
