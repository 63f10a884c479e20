"""A task's splits as columns: loaded and encoded once, validation split off, cached."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mubench import official, storage
from mubench.data import Dataset
from mubench.errors import UsageError, did_you_mean
from mubench.files import Corrupt, locked, seal, unseal, writing
from mubench.modalities.base import BrokenRow, Modality
from mubench.progress import Reporter
from mubench.tasks.base import Raw, RawSplit, Task

VERSION = 5  # of the encoding: raise it when the same raw data would give other columns
PLACES = ("source", "ood_source", "alternative", "negative")  # settings of a task that change no column
ENCODER = "encoder"  # folder beside the columns: what encoding and decoding need, such as a tokenizer


def load(task: Task, modality: Modality, model: Mapping[str, Any], out: Path, reporter: Reporter) -> Dataset:
    """The encoded splits of a task, from this process's memory, the cache below `out`, or the source."""
    settings = {name: value for name, value in asdict(task).items() if name not in PLACES}
    decides = [VERSION, task.identity(), settings, modality.encoder(model)]
    text = json.dumps(decides, sort_keys=True)
    name = hashlib.sha256(text.encode()).hexdigest()[:12]
    folder = out / "cache" / task.name / name
    try:
        data = _remembered(folder)
    except Corrupt as error:
        if (folder / "record.json").is_file():
            reporter.warn(f"{error}; encoding the data again")
        data = _encode_once(task, modality, model, folder, reporter)
    facts = {**data.facts, "identity": task.identity(), "encoder": str(folder / ENCODER)}
    facts |= {"negative": _negative(task, data.classes), "foreign": sorted(task.foreign)}
    return Dataset(data.splits, data.classes, data.labels, task.official, facts, data.groups)


def _negative(task: Task, classes: tuple[str, ...]) -> int | None:
    """The class that means none of the others, if the task names one."""
    negative = task.negative_class()
    if negative is not None and negative not in classes:
        hint = did_you_mean(negative, classes)
        raise UsageError(f"task.negative={negative} is no class of {task.name}.{hint}")
    return None if negative is None else classes.index(negative)


@lru_cache(maxsize=4)
def _remembered(folder: Path) -> Dataset:
    """The cached columns, checked once and kept for the next run of a sweep in this process."""
    content = unseal(folder, ["splits", "classes", "groups", "facts"])
    if content is None:
        raise Corrupt(f"{folder} holds no encoded data")
    splits = {name: storage.read(folder, name) for name in content["splits"]}
    labels = np.load(folder / "labels.npy")
    return Dataset(
        splits, tuple(content["classes"]), labels, None, content["facts"], tuple(content["groups"])
    )


def _encode_once(
    task: Task, modality: Modality, model: Mapping[str, Any], folder: Path, reporter: Reporter
) -> Dataset:
    """Encode under a lock, so that two processes that need the same data do it once.

    Loading comes before, so that data that cannot be had leaves nothing behind; the folder appears
    whole, when all is written.
    """
    started = time.perf_counter()
    raw = task.load()

    def waiting() -> None:
        reporter.say(f"Waiting for another process to encode {task.name}")

    with writing(folder), locked(folder.with_suffix(".lock"), waiting):
        try:
            return _remembered(folder)
        except Corrupt:
            reporter.say(f"Encoding {task.name}")
            unfinished = folder.with_suffix(".unfinished")
            shutil.rmtree(unfinished, ignore_errors=True)
            (unfinished / ENCODER).mkdir(parents=True)
            try:
                _write(task, raw, modality, model, unfinished, started)
                shutil.rmtree(folder, ignore_errors=True)
                unfinished.rename(folder)
            finally:
                shutil.rmtree(unfinished, ignore_errors=True)
            return _remembered(folder)


def _write(
    task: Task, raw: Raw, modality: Modality, model: Mapping[str, Any], folder: Path, started: float
) -> None:
    """All splits, the encoder, and the record that seals them, with the time since `started`."""
    for name, split in raw.splits.items():
        if not len(split.labels):
            raise UsageError(f"{task.name}: the {name} split is empty")
    train = raw.splits["train"]
    try:
        modality.learn({name: train.fields[name] for name in modality.fields}, model, folder / ENCODER)
    except BrokenRow as error:
        raise UsageError(f"{task.name}: row {error.place} of train: {error.wrong}") from error
    names = ["labels.npy"]
    np.save(folder / "labels.npy", train.labels)
    for name, parts in _parts(task, raw).items():
        names += encode(task, name, raw.splits[name], parts, modality, folder)
    splits = sorted({name.split(".")[0] for name in names} - {"labels"})
    names += [str(p.relative_to(folder)) for p in (folder / ENCODER).rglob("*") if p.is_file()]
    facts = modality.facts(storage.read(folder, "train").inputs, folder / ENCODER)
    facts["encode_seconds"] = time.perf_counter() - started
    content = {"splits": splits, "classes": list(raw.classes), "groups": list(raw.groups), "facts": facts}
    seal(folder, names, content)


def _parts(task: Task, raw: Raw) -> dict[str, dict[str, np.ndarray]]:
    """{raw split: {split: its rows}}: validation is cut out of the training rows if there is none."""
    parts = {name: {name: np.arange(len(split.labels))} for name, split in raw.splits.items()}
    if "validation" not in raw.splits:
        held_out = validation_rows(task, raw.splits["train"].labels)
        if len(held_out):
            parts["train"] = {
                "train": np.setdiff1d(parts["train"]["train"], held_out),
                "validation": held_out,
            }
    return parts


def encode(
    task: Task, name: str, raw: RawSplit, parts: Mapping[str, np.ndarray], modality: Modality, folder: Path
) -> list[str]:
    """One raw split, piece by piece, into the files of its parts; the files' names."""
    writers = {part: storage.Writer(folder, part, len(rows)) for part, rows in parts.items()}
    place = np.empty(len(raw.labels), dtype=np.int64)
    for rows in parts.values():
        place[rows] = np.arange(len(rows))
    for start in range(0, len(raw.labels), modality.piece):
        ids = np.arange(start, min(start + modality.piece, len(raw.labels)))
        columns = _encode_piece(task, name, raw, ids, modality, folder / ENCODER)
        for part, rows in parts.items():
            here = np.isin(ids, rows, assume_unique=True)
            chosen = torch.from_numpy(here)
            try:
                writers[part].put(place[ids[here]], {k: v[chosen] for k, v in columns.items()})
            except ValueError as error:
                raise UsageError(
                    f"{task.name}: rows {start} to {ids[-1]} of {name} have another size than those before "
                    f"({error})"
                ) from error
    return [file for writer in writers.values() for file in writer.close()]


def _encode_piece(
    task: Task, name: str, raw: RawSplit, ids: np.ndarray, modality: Modality, encoder: Path
) -> dict[str, torch.Tensor]:
    """The columns of some rows; UsageError names a row that cannot be encoded."""
    piece = slice(int(ids[0]), int(ids[-1]) + 1)
    try:
        columns = modality.encode({field: raw.fields[field][piece] for field in modality.fields}, encoder)
    except BrokenRow as error:
        raise UsageError(f"{task.name}: row {ids[0] + error.place} of {name}: {error.wrong}") from error
    known = {"ids": ids, "labels": raw.labels[piece]}
    known |= {} if raw.groups is None else {"groups": raw.groups[piece]}
    return {**columns, **{key: torch.from_numpy(values) for key, values in known.items()}}


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
