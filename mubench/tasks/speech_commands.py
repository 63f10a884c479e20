"""Speech Commands v0.01 (Warden, 2018) in superb's twelve classes: from the hub, a copy, or the archives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from mubench.errors import UsageError
from mubench.tasks.base import Raw, RawSplit
from mubench.tasks.hub import HubClassification

WORDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
CLASSES = (*WORDS, "_silence_", "_unknown_")
SILENT = ("_silence_", "_background_noise_")  # folders
ARCHIVES = ("speech_commands_v0.01", "speech_commands_test_set_v0.01")
LISTS = {"validation": "validation_list.txt", "test": "testing_list.txt"}


@dataclass
class SpeechCommands(HubClassification):
    """Sounds of about a second and their word; `source` may hold the two unpacked archives as folders.

    A row's group is its speaker, whom the name of its file tells.
    """

    def load(self) -> Raw:
        """The splits in superb's order: by the path of the file."""
        folder = None if self.source is None else Path(self.source)
        if folder is None or not any((folder / name).is_dir() for name in ARCHIVES):
            return grouped(super().load())
        return grouped(archives(folder))


def grouped(raw: Raw) -> Raw:
    """The rows with their speakers, numbered in alphabetical order over all splits."""
    speakers = {
        name: [speaker_of(file) for file in split.fields["file"]] for name, split in raw.splits.items()
    }
    names = sorted({speaker for some in speakers.values() for speaker in some})
    number = {name: place for place, name in enumerate(names)}
    splits = {
        name: RawSplit(
            split.fields, split.labels, np.array([number[s] for s in speakers[name]], dtype=np.int64)
        )
        for name, split in raw.splits.items()
    }
    return Raw(splits, raw.classes, tuple(names))


def speaker_of(file: str) -> str:
    """'…/bed/0a7c2a8d_nohash_0.wav' -> '0a7c2a8d'; a noise is its own speaker."""
    return PurePosixPath(file.replace("\\", "/")).stem.split("_nohash_")[0]


def class_of(file: str) -> int:
    """The class of 'word/name.wav': one of ten words, silence, or any other word."""
    word = PurePosixPath(file).parent.name
    if word in SILENT:
        return CLASSES.index("_silence_")
    return CLASSES.index(word if word in WORDS else "_unknown_")


def archives(folder: Path) -> Raw:
    """The splits as superb makes them; UsageError names a folder, list or listed file that is missing.

    Validation rows are listed in the first archive. Its own test list is left out of training; the
    test rows are the files of the second archive.
    """
    for name in ARCHIVES:
        if not (folder / name).is_dir():
            raise UsageError(
                f"task.source={folder}: the folder {name} (its unpacked archive) is missing there"
            )
    train, test = (folder / name for name in ARCHIVES)
    files = _wavs(train)
    listed = {split: _listed(train / name, files) for split, name in LISTS.items()}
    rest = files - listed["validation"] - listed["test"]
    return Raw(
        {
            "train": _split(train, rest),
            "validation": _split(train, listed["validation"]),
            "test": _split(test, _wavs(test)),
        },
        CLASSES,
    )


def _wavs(folder: Path) -> set[str]:
    """Paths 'word/name.wav' below an archive's folder."""
    return {path.relative_to(folder).as_posix() for path in folder.glob("*/*.wav")}


def _listed(path: Path, files: set[str]) -> set[str]:
    if not path.is_file():
        raise UsageError(f"task.source: {path} is missing")
    names = path.read_text(encoding="utf-8").split()
    missing = next((name for name in names if name not in files), None)
    if missing is not None:
        raise UsageError(f"{path} lists {missing}, which is missing")
    return set(names)


def _split(folder: Path, files: Iterable[str]) -> RawSplit:
    """Files in the order of their paths; they are read when they are encoded."""
    ordered = sorted(files)
    labels = np.array([class_of(file) for file in ordered], dtype=np.int64)
    fields: Mapping[str, Sequence[Any]] = {
        "audio": [{"bytes": None, "path": str(folder / file)} for file in ordered],
        "file": ordered,
    }
    return RawSplit(fields, labels)
