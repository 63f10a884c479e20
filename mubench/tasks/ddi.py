"""DDI-2013 (Herrero-Zazo et al., 2013) as BLURB prepares it: how two drugs of a sentence interact."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mubench.errors import UsageError
from mubench.tasks.base import Raw, RawSplit, Task

CLASSES = ("DDI-false", "DDI-mechanism", "DDI-advise", "DDI-effect", "DDI-int")  # in the order of their ids
_FILES = {"train": "train.tsv", "validation": "dev.tsv", "test": "test.tsv"}
_ADVICE = (
    "needs your own copy of DDI-2013, whose licence forbids shipping it: make BLURB's DDI data "
    "(https://microsoft.github.io/BLURB/tasks.html#dataset_ddi) and pass task.source=FOLDER of its "
    "train.tsv, dev.tsv and test.tsv, or try task=mini/ddi2013"
)


@dataclass
class Ddi(Task):
    """Sentences with two drugs masked (@DRUG$), in three files without a header.

    Each line holds, between tabs, the pair's id, the sentence, the label, and anything more.
    """

    generate: dict[str, Any] | None = None  # the mini twin: what gives the lines of a file
    negative: str | None = CLASSES[0]  # the class that means none of the others: `micro_f1` counts the others

    def upstream(self) -> str:
        """The generator's settings; without a folder or a generator there is no data."""
        return f"generated {sorted(self.generate.items())}" if self.generate else "BLURB DDI-2013"

    def negative_class(self) -> str | None:
        """The pairs that do not interact."""
        return self.negative

    def load(self) -> Raw:
        """Rows in the files' order."""
        return Raw({split: self._read(split) for split in _FILES}, CLASSES)

    def _read(self, split: str) -> RawSplit:
        if self.generate is not None:
            from hydra.utils import call

            return parse(call(self.generate, split=split), f"generated {_FILES[split]}")
        if self.source is None:
            raise UsageError(f"task '{self.name}' {_ADVICE}")
        path = Path(self.source) / _FILES[split]
        try:
            return parse(path.read_text(encoding="utf-8").split("\n"), str(path))
        except UnicodeDecodeError as error:
            raise UsageError(f"{path} is not UTF-8 text: {error}") from error
        except OSError as error:
            raise UsageError(f"task.source={self.source}: {path.name} cannot be read there") from error


def parse(lines: Iterable[str], name: str) -> RawSplit:
    """The rows of one file; UsageError names the line that is none. Blank lines are passed over."""
    texts, labels = [], []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        columns = line.rstrip("\r\n").split("\t")
        if len(columns) < 3:
            raise UsageError(f"{name}, line {number}: {len(columns)} columns, not id, text and label")
        if columns[2] not in CLASSES:
            known = ", ".join(CLASSES)
            raise UsageError(f"{name}, line {number}: label '{columns[2]}' is not one of {known}")
        texts.append(columns[1])
        labels.append(CLASSES.index(columns[2]))
    return RawSplit({"text": texts}, np.array(labels, dtype=np.int64))
