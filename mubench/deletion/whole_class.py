"""Whole classes: every example of the named labels."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from mubench.data import Dataset
from mubench.deletion.base import Deletion
from mubench.errors import NotApplicable, UsageError


@dataclass
class WholeClass(Deletion):
    """Forget the classes with these numbers."""

    classes: list[int] = field(default_factory=lambda: [0])

    def __post_init__(self) -> None:
        if not self.classes:
            raise UsageError("deletion.classes names no class to forget")

    def rows(self, data: Dataset, rng: np.random.Generator) -> np.ndarray:
        """All rows of the classes; UsageError for a class without examples."""
        if not data.classes:
            raise NotApplicable(
                f"deletion '{self.name}': this task's targets are no classes; try deletion=random "
                "(mubench ls deletions)"
            )
        labels = data["train"].labels
        for label in self.classes:
            if not (labels == label).any():
                raise UsageError(f"deletion.classes: class {label} has no training example")
        return np.flatnonzero(np.isin(labels, self.classes)).astype(np.int64)
