"""NLVR2 (Suhr et al., 2019): is a sentence true of two photographs?"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from hydra.utils import call

from mubench.errors import UsageError
from mubench.fingerprint import folder_hash
from mubench.hub import reaching
from mubench.tasks import listing
from mubench.tasks.base import Raw, RawSplit, Task

CLASSES = ("False", "True")
# A split's annotations as MU-Bench's authors name the file, and as the data's authors do.
FILES = {
    "train": ("train.json",),
    "validation": ("dev.json",),
    "test": ("test.json", "test1.json"),
    "ood": ("test2.json",),
}
PLACES = ("", "data", "nlvr2/data")  # of these files below the folder
ADVICE = (
    "ask for the pictures by the form at https://lil.nlp.cornell.edu/nlvr/, and pass task.source=FOLDER, "
    "the folder that holds images/ and, unless the hub is in reach, train.json, dev.json, test1.json and "
    "test2.json of https://github.com/lil-lab/nlvr"
)


@dataclass
class Nlvr2(Task):
    """Pictures from a folder; annotations from there, in either layout, or else from the hub."""

    repository: str = ""  # of the annotations
    revision: str = "main"
    generate: dict[str, Any] | None = None  # a mini twin: what to generate in place of all that
    alternative: str = ""  # an offline task that the message of a missing folder recommends

    def load(self) -> Raw:
        """train, validation (dev), test (test-P) and ood (test-U), in the order of the annotations."""
        return Raw({split: self._split(split, self.table(split)) for split in FILES}, CLASSES)

    def identity(self) -> str:
        """The annotations, and what is in the folder."""
        if self.source is None:
            return self.upstream()
        texts = [found for split in FILES if (found := self._annotations(split))]
        return f"{super().identity()} {' '.join(map(folder_hash, texts))} {self.upstream()}"

    def upstream(self) -> str:
        """The generator's settings, or the repository and revision of the annotations."""
        made = self.generate
        return f"generated {sorted(made.items())}" if made else f"{self.repository}@{self.revision}"

    def table(self, split: str) -> Sequence[Mapping[str, Any]]:
        """The annotations of one split of ours, a mapping for each row."""
        if self.generate is not None:
            rows: Sequence[Mapping[str, Any]] = call(self.generate, split=split)
            return rows
        if self.source is None:
            other = f"; or try task={self.alternative}" if self.alternative else ""
            raise UsageError(f"{self.name} needs a folder with its pictures: {ADVICE}{other}")
        return read(self._annotations(split) or self._from_hub(split))

    def _annotations(self, split: str) -> Path | None:
        """The split's file in the folder, if it is there."""
        root = Path(str(self.source))
        paths = [root / place / name for place in PLACES for name in FILES[split]]
        return next((path for path in paths if path.is_file()), None)

    def _from_hub(self, split: str) -> Path:
        from huggingface_hub import hf_hub_download

        name, what = FILES[split][0], f"the annotations '{self.repository}' from the hub"
        with reaching(what, f"and put {name} into task.source={self.source}"):
            return Path(hf_hub_download(self.repository, name, repo_type="dataset", revision=self.revision))

    def _split(self, split: str, rows: Sequence[Mapping[str, Any]]) -> RawSplit:
        for number, row in enumerate(rows):
            if wrong := fault(row):
                raise UsageError(f"{self.name}: row {number} of {split} {wrong}")
        named = [pictures_of(row) for row in rows]
        pairs = named if self.generate is not None else self._located(split, named)
        fields = {
            "left": [left for left, _ in pairs],
            "right": [right for _, right in pairs],
            "text": [row["sentence"] for row in rows],
        }
        labels = [CLASSES.index(str(row["label"])) for row in rows]
        return RawSplit(fields, np.asarray(labels, dtype=np.int64))

    def _located(self, split: str, pairs: Sequence[Sequence[str]]) -> list[Sequence[Any]]:
        """The files of the pictures; UsageError names the first row that lacks one."""
        place = placing(Path(str(self.source)), [pair[0] for pair in pairs[:1]])
        paths = [[place(name) for name in pair] for pair in pairs]
        listing.check_files(self.name, split, paths, "picture")
        return [[{"bytes": None, "path": str(path)} for path in pair] for pair in paths]


def read(path: Path) -> list[dict[str, Any]]:
    """The rows of a JSON list or of JSON lines; UsageError names a line that is neither."""
    text = path.read_text(encoding="utf-8")
    try:
        rows: list[dict[str, Any]] = json.loads(text) if text.lstrip().startswith("[") else _lines(text)
    except ValueError as error:
        raise UsageError(f"{path} is neither a JSON list nor JSON lines: {error}") from error
    return rows


def _lines(text: str) -> list[dict[str, Any]]:
    found = []
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            found += [json.loads(line)] if line.strip() else []
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from error
    return found


def fault(row: Mapping[str, Any]) -> str | None:
    """What is wrong with a row of annotations, or None."""
    if not isinstance(row, Mapping) or "sentence" not in row or "label" not in row:
        return "lacks 'sentence' or 'label'"
    if str(row["label"]) not in CLASSES:
        return f"has the label '{row['label']}', not True or False"
    if "images" in row:
        return None if len(row["images"]) == 2 else f"has {len(row['images'])} images, not two"
    return None if str(row.get("identifier", "")).count("-") == 3 else "lacks 'images' or 'identifier'"


def pictures_of(row: Mapping[str, Any]) -> Sequence[Any]:
    """The left and the right picture of a row: as it names them, or where its identifier says they lie.

    The identifier is split-set-pair-sentence; pictures of the training split lie in folders of a
    hundred, those of the other splits in one folder.
    """
    if "images" in row:
        named: Sequence[Any] = row["images"]
        return named
    pair = str(row["identifier"]).rsplit("-", 1)[0]
    folder = "/".join(
        ["images", pair.split("-")[0], *([str(row["directory"])] if "directory" in row else [])]
    )
    return [f"{folder}/{pair}-img{side}.png" for side in (0, 1)]


def placing(root: Path, first: Sequence[str]) -> Callable[[str], Path]:
    """From a picture's name to its file: below the folder, below its images/, or without the first part.

    Whichever holds the first picture; the plain place if none does.
    """
    ways: list[Callable[[str], Path]] = [
        lambda name: root / name,
        lambda name: root / "images" / name,
        lambda name: root.joinpath(*Path(name).parts[1:]),
    ]
    return next((way for way in ways if all(way(name).is_file() for name in first)), ways[0])
