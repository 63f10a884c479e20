"""A task's splits as columns: loaded and encoded once, cached, validation split off."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from mubench import official
from mubench.data import Columns, Dataset
from mubench.errors import UsageError
from mubench.files import Corrupt, clear_leftovers, locked, seal, unseal, write_atomically, writing
from mubench.modalities.base import Modality
from mubench.progress import Reporter
from mubench.tasks.base import Raw, Task

VERSION = 1  # of the encoding: raise it when the same raw data would give other columns


def load(task: Task, modality: Modality, out: Path, reporter: Reporter) -> Dataset:
    """The encoded splits of a task, from this process's memory, the cache below `out`, or the source."""
    identity = json.dumps([VERSION, task.name, task.identity(), modality.name], sort_keys=True)
    name = hashlib.sha256(identity.encode()).hexdigest()[:12]
    folder = out / "cache" / task.name / name
    try:
        columns, facts = _remembered(folder)
    except Corrupt as error:
        if (folder / "record.json").is_file():
            reporter.warn(f"{error}; encoding the data again")
        columns, facts = _encode_once(task, modality, folder, reporter)
    return _split(task, columns, {**facts, "identity": task.identity()})


@lru_cache(maxsize=4)
def _remembered(folder: Path) -> tuple[dict[str, Columns], dict[str, Any]]:
    """The cached columns, checked once and kept for the next run of a sweep in this process."""
    content = unseal(folder, ["splits", "facts"])
    if content is None:
        raise Corrupt(f"{folder} holds no encoded data")
    columns = {}
    for name in content["splits"]:
        tensors = load_file(folder / f"{name}.safetensors")
        targets = tensors.pop("targets")
        columns[name] = Columns(tensors, targets, np.arange(len(targets)))
    return columns, content["facts"]


def _encode_once(
    task: Task, modality: Modality, folder: Path, reporter: Reporter
) -> tuple[dict[str, Columns], dict[str, Any]]:
    """Encode under a lock, so that two processes that need the same data do it once.

    Loading comes before, so that data that cannot be had leaves nothing behind.
    """
    raw = task.load()

    def waiting() -> None:
        reporter.say(f"Waiting for another process to encode {task.name}")

    with writing(folder), locked(folder.with_suffix(".lock"), waiting):
        try:
            return _remembered(folder)
        except Corrupt:
            reporter.say(f"Encoding {task.name}")
            clear_leftovers(folder)
            _write(encode(raw, modality), folder)
            return _remembered(folder)


def encode(raw: Raw, modality: Modality) -> tuple[dict[str, Columns], dict[str, Any]]:
    """Raw splits as columns, with the classes and the training split's statistics as facts."""
    columns = {}
    for name, split in raw.splits.items():
        if not len(split.targets):
            raise UsageError(f"the {name} split is empty")
        inputs = modality.encode(split.examples)
        columns[name] = Columns(inputs, torch.from_numpy(split.targets), np.arange(len(split.targets)))
    train = columns["train"].inputs
    facts = {
        "classes": list(raw.classes), **modality.facts(train)
    }  # fmt: skip
    return columns, facts


def _write(encoded: tuple[dict[str, Columns], dict[str, Any]], folder: Path) -> None:
    columns, facts = encoded
    for name, split in columns.items():
        tensors = {**split.inputs, "targets": split.targets}
        write_atomically(folder / f"{name}.safetensors", partial(save_file, tensors))
    names = [f"{name}.safetensors" for name in columns]
    seal(folder, names, {"splits": list(columns), "facts": facts})


def _split(task: Task, columns: dict[str, Columns], facts: dict[str, Any]) -> Dataset:
    """Split validation off the training rows, sparing rows of the task's official forget list."""
    splits = dict(columns)
    labels = columns["train"].targets.numpy()
    if "validation" not in columns:
        held_out = validation_rows(task, labels)
        kept = np.setdiff1d(np.arange(len(labels)), held_out)
        splits |= {"train": columns["train"].subset(kept)}
        if len(held_out):
            splits |= {"validation": columns["train"].subset(held_out)}
    rest = {name: value for name, value in facts.items() if name != "classes"}
    return Dataset(splits, tuple(facts["classes"]), labels, task.official, rest)


def validation_rows(task: Task, labels: np.ndarray) -> np.ndarray:
    """Rows for validation: the share of each class that the task asks for, (n,) ascending."""
    free = np.ones(len(labels), dtype=bool)
    free[_reserved(task, labels)] = False
    rng = np.random.default_rng(task.seed)
    order = rng.permutation(np.flatnonzero(free))
    order = order[np.argsort(labels[order], kind="stable")]
    within = np.concatenate([np.arange(n) / n for n in np.bincount(labels[order]) if n])
    count = round(task.validation / 100 * len(labels))
    return np.sort(order[np.argsort(within, kind="stable")[:count]])


def _reserved(task: Task, labels: np.ndarray) -> np.ndarray:
    """Rows that MU-Bench's list may delete: they must be in the training set, not in validation."""
    if task.official is None:
        return np.empty(0, dtype=np.int64)
    try:
        return official.official_ids(task.official, labels)
    except UsageError:  # a part of the data, or a twin: the list does not apply to it
        return np.empty(0, dtype=np.int64)
