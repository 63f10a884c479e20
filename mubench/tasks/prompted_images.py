"""Pictures under the names of their classes as prompts: from the hub, a local copy, or generated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mubench.errors import UsageError
from mubench.schema import within
from mubench.tasks.base import Raw, RawSplit
from mubench.tasks.hub import HubClassification


@dataclass
class PromptedImages(HubClassification):
    """A picture's prompt is its class's name in a sentence; its class remains as its stratum.

    Of the training rows `rows` are used, as many of each class, drawn by the task's seed and kept in
    the hub's order: row numbers count within these.
    """

    template: str = "a photo of a {}"
    words: str | None = None  # importable mapping from the data's class names to words
    rows: int | None = None  # training rows used; null: all

    def __post_init__(self) -> None:
        super().__post_init__()
        if "{}" not in self.template:
            raise UsageError(
                f"task.template must hold {{}} where the class's name belongs: '{self.template}'"
            )
        if self.rows is not None:
            within("task.rows", self.rows, 1, 1e12)

    def load(self) -> Raw:
        """Fields image and prompt; classes are named in words."""
        tables = {ours: self.table(theirs) for ours, theirs in self.splits.items()}
        classes = self._classes(tables["train"])
        words = self._words(classes)
        splits = {name: self._split(name, table, words) for name, table in tables.items()}
        return Raw(splits, words)

    def _split(self, name: str, table: Any, words: tuple[str, ...]) -> RawSplit:
        labels = self._labels(name, table, len(words))
        if name == "train" and self.rows is not None and self.rows < len(labels):
            chosen = balanced(labels, self.rows, self.seed)
            table, labels = table.select(chosen), labels[chosen]
        prompts = [self.template.format(words[label]) for label in labels]
        return RawSplit({**self.columns(table), "prompt": prompts}, labels)

    def _words(self, classes: tuple[str, ...]) -> tuple[str, ...]:
        """The classes' names in words; UsageError for one that the mapping lacks."""
        if self.words is None:
            return classes
        from hydra.utils import get_object

        known = get_object(self.words)
        strange = next((name for name in classes if name not in known), None)
        if strange is not None:
            raise UsageError(f"{self.name}: {self.words} has no word for the class '{strange}'")
        return tuple(known[name] for name in classes)


def balanced(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """`count` rows, ascending, as many of each class as there are or as come out even."""
    order = np.random.default_rng(seed).permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    rank = np.concatenate([np.arange(n) for n in np.bincount(labels)])
    return np.sort(order[np.argsort(rank, kind="stable")[:count]])
