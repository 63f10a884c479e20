"""UCF101 (Soomro et al., 2012): clips of 101 human actions."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mubench.errors import UsageError
from mubench.fingerprint import folder_hash
from mubench.schema import within
from mubench.tasks import listing
from mubench.tasks.base import Raw, RawSplit, Task

VIDEOS, LISTS = "UCF-101", "ucfTrainTestlist"
ADVICE = (
    "download UCF101.rar and the train/test splits for action recognition from "
    "https://www.crcv.ucf.edu/data/UCF101.php (or the zip files of MichiganNLP/ucf-101 on the hub), unpack "
    f"both into one folder, and pass task.source=FOLDER, the folder that holds {VIDEOS}/ and {LISTS}/"
)


@dataclass
class Ucf101(Task):
    """The published split into train and test of one fold; groups are the people and places filmed."""

    fold: int = 1  # 1 to 3
    generate: dict[str, Any] | None = None  # a mini twin: what to generate in place of the files
    alternative: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        within("task.fold", self.fold, 1, 3)

    def upstream(self) -> str:
        """The generator's settings; without any, nothing but a folder can be loaded."""
        return (
            f"generated {sorted(self.generate.items())}" if self.generate else f"{self.name} fold {self.fold}"
        )

    def identity(self) -> str:
        """The lists, and what is in the folder."""
        if self.source is None:
            return self.upstream()
        return f"{super().identity()} {folder_hash(Path(self.source) / LISTS)} fold {self.fold}"

    def load(self) -> Raw:
        """Clips in the order of the lists; the class is the folder's, which file names differ from."""
        rows = {split: self._rows(split) for split in ("train", "test")}
        classes = self._classes(rows["train"])
        groups = sorted({group_of(row["path"]) for part in rows.values() for row in part})
        splits = {split: self._split(split, part, classes, groups) for split, part in rows.items()}
        return Raw(splits, tuple(classes), tuple(groups))

    def _rows(self, split: str) -> Sequence[Mapping[str, Any]]:
        """{"path": Class/v_Class_gNN_cNN.avi} of each clip, with its "bytes" where it is generated."""
        if self.generate is not None:
            from hydra.utils import call

            generated: Sequence[Mapping[str, Any]] = call(self.generate, split=split)
            return generated
        lines = self._list(f"{split}list{self.fold:02d}.txt")
        return [{"path": line.rsplit(" ", 1)[0] if split == "train" else line} for line in lines]

    def _list(self, name: str) -> list[str]:
        if self.source is None:
            other = f"; or try task={self.alternative}" if self.alternative else ""
            raise UsageError(f"{self.name} needs a folder with its clips: {ADVICE}{other}")
        path = Path(self.source) / LISTS / name
        if not path.is_file():
            raise UsageError(f"task.source={self.source}: {LISTS}/{name} is missing there; {ADVICE}")
        return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]

    def _classes(self, train: Sequence[Mapping[str, Any]]) -> list[str]:
        """The names in the order of classInd.txt, or of the alphabet where they are generated."""
        if self.generate is not None:
            return sorted({class_of(row["path"]) for row in train})
        return [line.split()[-1] for line in self._list("classInd.txt")]

    def _split(
        self, split: str, rows: Sequence[Mapping[str, Any]], classes: Sequence[str], groups: Sequence[str]
    ) -> RawSplit:
        number_of = {name: number for number, name in enumerate(classes)}
        group_numbers = {name: number for number, name in enumerate(groups)}
        for number, row in enumerate(rows):
            if class_of(row["path"]) not in number_of:
                raise UsageError(
                    f"{self.name}: row {number} of {split}, {row['path']}, lies in no class of classInd.txt"
                )
        labels = [number_of[class_of(row["path"])] for row in rows]
        of_group = [group_numbers[group_of(row["path"])] for row in rows]
        as_int = (np.asarray(values, dtype=np.int64) for values in (labels, of_group))
        return RawSplit({"video": self._videos(split, rows)}, *as_int)

    def _videos(self, split: str, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        if self.generate is not None:
            return [{"bytes": row["bytes"], "path": None} for row in rows]
        paths = [Path(str(self.source), VIDEOS, row["path"]) for row in rows]
        listing.check_files(self.name, split, ([path] for path in paths), "clip")
        return [{"bytes": None, "path": str(path)} for path in paths]


def class_of(path: str) -> str:
    """The class of a clip: the folder it lies in."""
    return path.split("/")[0]


def group_of(path: str) -> str:
    """The class and the group of a clip, such as 'Archery g08': clips of one group look alike."""
    found = re.search(r"_(g\d+)_", path)
    return f"{class_of(path)} {found.group(1)}" if found else class_of(path)
