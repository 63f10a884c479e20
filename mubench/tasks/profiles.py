"""Short biographies of people: a name, and what a model is to tell of that person."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from hydra.utils import call

from mubench.errors import UsageError
from mubench.schema import within
from mubench.tasks.base import Raw, RawSplit
from mubench.tasks.generation import unlabelled
from mubench.tasks.hub import KINDS, HubTask, read_files


@dataclass
class Profiles(HubTask):
    """The user's own file, in each row a name and a profile; every person is a group.

    There is no test set of such data: `held_out` percent of the people, at least one, are never trained
    on and are the test split.
    """

    splits: dict[str, str] = field(default_factory=dict)  # none upstream
    question: str = "Who is {name}?"
    held_out: float = 10.0

    def __post_init__(self) -> None:
        super().__post_init__()
        within("task.held_out", self.held_out, 0, 100, "()")
        if "{name}" not in self.question:
            raise UsageError(f"task.question='{self.question}' must hold {{name}}")

    def load(self) -> Raw:
        """Rows in the file's order, the held-out people's apart."""
        rows = self.columns(self._own() if self.generate is None else call(self.generate))
        names = [str(name or "").strip() for name in rows["name"]]
        if "" in names:
            raise UsageError(f"{self.name}: row {names.index('')} has no name")
        people, groups = np.unique(names, return_inverse=True)
        out = np.isin(groups, self._held_out(len(people)))
        parts = {"train": np.flatnonzero(~out), "test": np.flatnonzero(out)}
        texts = list(rows["profile"])
        splits = {part: self._split(at, names, texts, groups) for part, at in parts.items()}
        return Raw(splits, (), tuple(people.tolist()))

    def _split(self, at: np.ndarray, names: list[str], texts: list[Any], groups: np.ndarray) -> RawSplit:
        asked = [self.question.replace("{name}", names[row]) for row in at]
        fields = {"prompt": asked, "answer": [texts[row] for row in at]}
        return RawSplit(fields, unlabelled(len(at)), groups[at].astype(np.int64))

    def _held_out(self, people: int) -> np.ndarray:
        """The numbers of the people of the test split; UsageError where there are too few to part."""
        count = max(1, round(self.held_out / 100 * people))
        if people - count < 2:
            raise UsageError(f"{self.name}: {people} people are too few to hold {count} out for the test")
        return np.random.default_rng(self.seed).permutation(people)[:count]

    def _own(self) -> Any:
        """The table of the user's file."""
        if self.source is None:
            other = f", or try task={self.alternative}" if self.alternative else ""
            raise UsageError(
                f"task '{self.name}' needs your own data: pass task.source=FILE, a csv (with a header), "
                f"json, jsonl or parquet file whose rows have a {self.fields['name']} and a "
                f"{self.fields['profile']}{other}"
            )
        source = Path(self.source)
        files = [source] if source.is_file() else [p for k in KINDS for p in sorted(source.rglob(f"*.{k}"))]
        if len(files) != 1 or files[0].suffix[1:] not in KINDS:
            raise UsageError(f"task.source={source}: expected one file, {', '.join(KINDS)}")
        return read_files(files)
