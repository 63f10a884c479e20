"""A list from anywhere: dataset ids one a line, or a 0/1 mask with one line per training row."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mubench.data import Dataset
from mubench.deletion.base import Deletion, rows_of_ids
from mubench.errors import UsageError


@dataclass
class File(Deletion):
    """Ids count the rows of the data set's training split from 0, validation not yet split off."""

    path: str | None = None

    def __post_init__(self) -> None:
        if self.path is None:
            raise UsageError("deletion 'file' needs deletion.path=FILE")
        if not Path(self.path).is_file():
            raise UsageError(f"deletion.path={self.path}: there is no such file")

    def rows(self, data: Dataset, rng: np.random.Generator) -> np.ndarray:
        """The listed rows; a file of only 0 and 1 that is as long as the data is read as a mask."""
        values = self._numbers()
        if len(values) == len(data.labels) and set(np.unique(values)) <= {0, 1}:
            values = np.flatnonzero(values)
        ids, counts = np.unique(values, return_counts=True)
        if (counts > 1).any():
            raise UsageError(f"{self.path}: id {ids[counts > 1][0]} stands there twice")
        return rows_of_ids(data["train"], values, str(self.path))

    def _numbers(self) -> np.ndarray:
        lines = Path(str(self.path)).read_text(encoding="utf-8").split()
        wrong = next((line for line in lines if not line.isdigit()), None)
        if wrong is not None:
            raise UsageError(f"{self.path}: '{wrong[:40]}' is not an id")
        return np.array(lines, dtype=np.int64)
