"""What a task gives: raw splits, their labels, and a fingerprint of the data."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from mubench.errors import UsageError
from mubench.fingerprint import folder_hash
from mubench.schema import within


@dataclass(frozen=True)
class RawSplit:
    """One split of N rows before encoding.

    `fields` holds what the task's modality reads, a sequence of N raw values under each name
    (`image`, `text`, `prompt`, `answer` ...); the values of a hub's table may be read lazily.
    `labels` are the rows' classes, or strata where the target is no class; `groups` number the
    speakers, authors or people that rows belong to.
    """

    fields: Mapping[str, Any]
    labels: np.ndarray  # (N,) int64
    groups: np.ndarray | None = None  # (N,) int64


@dataclass(frozen=True)
class Raw:
    """A task's raw splits (train and test at least) and the names of its classes and groups."""

    splits: Mapping[str, RawSplit]
    classes: tuple[str, ...]
    groups: tuple[str, ...] = ()


@dataclass
class Task(ABC):
    """Settings that every task has."""

    name: str = ""
    modality: str = ""
    source: str | None = None  # a local folder instead of the hub
    validation: float = 10.0  # percent of the training rows, split off before anything is deleted
    official: str | None = None  # key of MU-Bench's list of deleted samples
    seed: int = 42  # of the splits that the task itself draws

    foreign: ClassVar[frozenset[str]] = frozenset({"ood"})  # splits not drawn as the training set is

    def __post_init__(self) -> None:
        within("task.validation", self.validation, 0, 100, "[)")
        if self.source is not None and not Path(self.source).exists():
            raise UsageError(f"task.source={self.source}: there is no such file or folder")

    @abstractmethod
    def load(self) -> Raw:
        """The raw splits; UsageError with one sentence where the data is missing or malformed."""

    def negative_class(self) -> str | None:
        """The class that means none of the others, if the task has a setting `negative` for it."""
        return None

    def identity(self) -> str:
        """A text that changes when the data may have: what names the cache and enters fingerprints.

        A local folder is known by its files' names, sizes, first and last bytes, wherever it lies; one of
        thousands of files by their names and sizes.
        """
        return self.upstream() if self.source is None else f"local {folder_hash(self.source)}"

    @abstractmethod
    def upstream(self) -> str:
        """What stands for the data when no local folder is given, such as a pinned revision."""
