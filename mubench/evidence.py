"""Predictions in files: written, read and cut without torch, so that they can be scored without it."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from mubench.files import Corrupt, write_atomically
from mubench.metrics.base import PER_EXAMPLE, TEXTS, Distances, Outputs, Splits

PREDICTIONS, ROWS = "predictions.safetensors", "rows.safetensors"
WEIGHTS, NAMES = "weights.safetensors", "names"


def take(outputs: Outputs, rows: np.ndarray) -> Outputs:
    """The predictions of some rows, without what was generated for a sample of all."""
    whole = {name: getattr(outputs, name) for name in PER_EXAMPLE}
    some: dict[str, Any] = {name: None if v is None else v[rows] for name, v in whole.items()}
    return Outputs(**some, negative=outputs.negative)


def sample(count: int, most: int, seed: int) -> np.ndarray:
    """Places (M,) ascending of a fixed sample of `count` examples."""
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, most, replace=False))


def save(splits: Splits, path: Path) -> None:
    """All splits in one safetensors file, atomically, arrays named `<split>.<field>`."""
    arrays = {
        f"{split}.{item.name}": _array(value)
        for split, outputs in splits.items()
        for item in fields(Outputs)
        if (value := getattr(outputs, item.name)) is not None
    }
    write_atomically(path, lambda temporary: save_file(arrays, temporary))


def _array(value: np.ndarray | tuple[str, ...]) -> np.ndarray:
    """A field as an array: texts as the bytes of a JSON list."""
    if isinstance(value, tuple):
        return np.frombuffer(json.dumps(value).encode(), dtype=np.uint8)
    return np.ascontiguousarray(value)


def load(path: Path) -> Mapping[str, Outputs]:
    """What `save` wrote; Corrupt for a file that holds anything else."""
    found: dict[str, dict[str, Any]] = defaultdict(dict)
    for key, array in _arrays(path).items():
        split, _, name = key.rpartition(".")
        if not split or name not in Outputs.__dataclass_fields__:
            raise Corrupt(f"{path} holds '{key}', which this version of mubench does not know")
        found[split][name] = tuple(json.loads(array.tobytes())) if name in TEXTS else array
    for split, values in found.items():
        if lacking := {"losses", "targets"} - set(values):
            raise Corrupt(f"{path} holds no {' or '.join(sorted(lacking))} of {split}")
    return {split: Outputs(**found[split]) for split in sorted(found)}


def _arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        found: dict[str, np.ndarray] = load_file(path)
    except SafetensorError as error:
        raise Corrupt(f"{path} is not whole ({error})") from error
    return found


def save_rows(rows: Mapping[str, np.ndarray], folder: Path) -> None:
    """Write rows.safetensors atomically: the rows (n,) of the training set behind a split's predictions."""
    arrays = {name: np.ascontiguousarray(some, dtype=np.int64) for name, some in rows.items()}
    write_atomically(folder / ROWS, lambda temporary: save_file(arrays, temporary))


def load_rows(folder: Path) -> dict[str, np.ndarray]:
    """What `save_rows` left in a run's directory."""
    return _arrays(folder / ROWS)


def save_distances(distances: Distances, folder: Path) -> None:
    """Write weights.safetensors atomically: an array (W,) by pair of roles, the names as JSON in bytes."""
    arrays = {NAMES: _array(distances.names), **distances.squared}
    write_atomically(folder / WEIGHTS, lambda temporary: save_file(arrays, temporary))


def load_distances(folder: Path) -> Distances | None:
    """What `save_distances` left in a run's directory; None where there is nothing."""
    if not (folder / WEIGHTS).is_file():
        return None
    arrays = _arrays(folder / WEIGHTS)
    return Distances(tuple(json.loads(arrays.pop(NAMES).tobytes())), arrays)
