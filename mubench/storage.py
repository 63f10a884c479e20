"""Columns on disk: a file for each, written piece by piece and read memory-mapped."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from torch import Tensor, from_numpy

from mubench.data import Columns

ROWS = ("ids", "labels", "groups")  # what is known of each row besides inputs and targets


class Writer:
    """The columns of one split of `count` rows; they need never be in memory together."""

    def __init__(self, folder: Path, split: str, count: int) -> None:
        self.folder, self.split, self.count = folder, split, count
        self._arrays: dict[str, np.memmap] = {}

    def put(self, places: np.ndarray, columns: Mapping[str, Tensor]) -> None:
        """Rows (n, ...) of every column at their places (n,); ValueError where a row's size is another."""
        for name, values in columns.items():
            array = values.numpy()
            if name not in self._arrays:
                self._arrays[name] = self._open(name, array)
            if array.shape[1:] != self._arrays[name].shape[1:]:
                raise ValueError(f"{name}: {array.shape[1:]}, not {self._arrays[name].shape[1:]}")
            self._arrays[name][places] = array

    def _open(self, name: str, like: np.ndarray) -> np.memmap:
        path, shape = self.folder / f"{self.split}.{name}.npy", (self.count, *like.shape[1:])
        mapped: np.memmap = np.lib.format.open_memmap(str(path), "w+", like.dtype, shape)
        if hasattr(os, "posix_fallocate"):  # else a disk that fills up kills the process by SIGBUS
            with path.open("r+b") as stream:
                os.posix_fallocate(stream.fileno(), 0, path.stat().st_size)
        return mapped

    def close(self) -> list[str]:
        """Flush; the names of the files."""
        for array in self._arrays.values():
            array.flush()
        return [f"{self.split}.{name}.npy" for name in self._arrays]


def read(folder: Path, split: str) -> Columns:
    """The columns of a split, memory-mapped: what is never looked at is never read."""
    arrays = {
        path.name.removeprefix(f"{split}.").removesuffix(".npy"): np.load(path, mmap_mode="c")
        for path in sorted(folder.glob(f"{split}.*.npy"))
    }
    ids, labels, groups = (None if name not in arrays else np.array(arrays.pop(name)) for name in ROWS)
    assert ids is not None and labels is not None
    targets = arrays.pop("targets", labels)
    classes = None if targets is labels else labels
    inputs = {name: from_numpy(array) for name, array in arrays.items()}
    return Columns(inputs, from_numpy(targets), ids, classes, groups)
