"""What every strategy shares: the ratio, and the split of the training rows that it leads to."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mubench.data import Columns, Dataset, ForgetSplit
from mubench.errors import UsageError
from mubench.official import sha256_of


def check_ratio(ratio: float) -> None:
    """UsageError unless 0 < ratio < 100 (percent of the training set)."""
    if not 0 < ratio < 100:
        raise UsageError(
            f"deletion.ratio must be above 0 and below 100 (percent of the training set), not {ratio:g}"
        )


@dataclass
class Deletion(ABC):
    """A strategy: `rows` says which training rows go."""

    name: str = ""

    def choose(self, data: Dataset, seed: int) -> ForgetSplit:
        """The forget and retain rows of the training columns; UsageError if either would be empty."""
        train = data["train"]
        rows = self.rows(data, np.random.default_rng(seed))
        retain = np.setdiff1d(np.arange(len(train)), rows)
        for part, kind in ((rows, "forget"), (retain, "retain")):
            if not len(part):
                raise UsageError(f"deletion '{self.name}' leaves the {kind} set empty")
        share = 100 * len(rows) / len(train)
        return ForgetSplit(rows, retain, self.name, share, sha256_of(train.ids[rows]))

    def check(self, task: Mapping[str, Any]) -> None:  # noqa: B027
        """NotApplicable for a task whose settings rule the strategy out, before its data is loaded."""

    @abstractmethod
    def rows(self, data: Dataset, rng: np.random.Generator) -> np.ndarray:
        """Rows (n_f,) int64 of the training columns to forget."""


def rows_of_ids(train: Columns, ids: np.ndarray, what: str) -> np.ndarray:
    """The rows that hold the given dataset ids; UsageError if some are not in the training set."""
    row_of = {int(number): row for row, number in enumerate(train.ids)}
    missing = [int(number) for number in ids if int(number) not in row_of]
    if missing:
        raise UsageError(
            f"{what}: {len(missing)} of {len(ids)} ids are not in the training set, the first is "
            f"{missing[0]} (ids in the validation part can be freed by task.validation=0)"
        )
    return np.array([row_of[int(number)] for number in ids], dtype=np.int64)
