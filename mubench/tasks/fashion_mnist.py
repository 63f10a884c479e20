"""Fashion-MNIST (Xiao et al., 2017): 70,000 pictures of clothes, from the hub or from IDX files."""

from __future__ import annotations

import gzip
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mubench.errors import UsageError
from mubench.tasks.base import Raw, RawSplit
from mubench.tasks.hub import HubClassification

CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
    "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
_PREFIX = {"train": "train", "test": "t10k"}


@dataclass
class FashionMnist(HubClassification):
    """28x28 grey images; `source` may hold the four IDX files (.gz or not) or the hub's parquet."""

    def load(self) -> Raw:
        """The splits in their published order."""
        if self.source is None or not list(Path(self.source).glob("*idx3-ubyte*")):
            return super().load()
        return Raw({split: idx_split(Path(self.source), split) for split in _PREFIX}, CLASSES)


def idx_split(folder: Path, split: str) -> RawSplit:
    """One split from its image and label files; UsageError if one is missing or they disagree."""
    images = read_idx(_file(folder, f"{_PREFIX[split]}-images-idx3-ubyte"))
    labels = read_idx(_file(folder, f"{_PREFIX[split]}-labels-idx1-ubyte"))
    if len(images) != len(labels):
        raise UsageError(f"{folder}: {len(images)} {split} images but {len(labels)} labels")
    return RawSplit({"image": images}, labels.astype(np.int64))


def _file(folder: Path, name: str) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise UsageError(f"task.source={folder}: {name}(.gz) is missing there")


def read_idx(path: Path) -> np.ndarray:
    """An IDX file of unsigned bytes: two zeros, type 8, the number of dimensions, sizes, data."""
    try:
        data = path.read_bytes()
        data = gzip.decompress(data) if path.suffix == ".gz" else data
        zeros, kind, dims = struct.unpack(">HBB", data[:4])
        shape = struct.unpack(f">{dims}I", data[4 : 4 + 4 * dims])
        if zeros or kind != 8:
            raise ValueError("not unsigned bytes")
        return np.frombuffer(data, np.uint8, offset=4 + 4 * dims).reshape(shape).copy()
    except (OSError, EOFError, zlib.error, ValueError, struct.error) as error:
        raise UsageError(f"{path} is not a whole IDX file: {error}") from error
