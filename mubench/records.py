"""What a run leaves: its record, read with checks (index.py knows those below an outputs folder)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mubench.errors import UsageError
from mubench.files import Corrupt, hashes_of, read_json, verify, write_json
from mubench.jobs import NOTE

SCHEMA = 1
STATUSES = ("complete", "failed", "diverged")
KEY = (
    "task", "modality", "model", "method", "deletion", "ratio", "adapter", "curriculum", "optimizer", "seed",
)  # fmt: skip
SEEDS = ("forget", "train", "unlearn", "eval")  # what key.seed holds
LATER = ("models", "scored")  # fields that records written before them lack
# What a run leaves besides its record; the record knows their hashes.
FILES = (
    "predictions.safetensors", "curves.json", "forget_ids.npy", "history.jsonl", "model/model.safetensors",
    "model/adapter_model.safetensors", "model/adapter_config.json", "weights.safetensors",
    "rows.safetensors",
)  # fmt: skip


@dataclass
class Record:
    """One run, flat enough to become a row of a table; the fields are those of record.json."""

    key: dict[str, Any]  # task, model, method, deletion, ratio, seeds: what the run is
    fingerprint: str  # hash of what can change the numbers
    config: dict[str, Any]
    overrides: list[str]
    started: str  # ISO 8601, UTC
    status: str = "complete"
    forget_set: dict[str, Any] = field(default_factory=dict)
    models: dict[str, str | None] = field(default_factory=dict)  # fingerprints of what others share
    metrics: dict[str, dict[str, float | None] | None] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)  # why a metric is null
    scored: dict[str, dict[str, str | None]] = field(default_factory=dict)  # later, by metric: when, by what
    cost: dict[str, float | None] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)
    finished: str | None = None
    error: str | None = None
    files: dict[str, str] = field(default_factory=dict)  # SHA-256 of what lies beside the record
    schema: int = SCHEMA

    @property
    def complete(self) -> bool:
        """Whether the run need not be repeated."""
        return self.status == "complete"

    @property
    def measured(self) -> bool:
        """Whether it tells what a row of a table needs: numbers of the unlearned model, and a forget set."""
        return bool(self.metrics.get("unlearned")) and isinstance(self.forget_set.get("sha256"), str)

    def write(self, folder: Path) -> None:
        """Write record.json atomically; of a complete run, with the hashes of its files."""
        there = [name for name in FILES if (folder / name).is_file()]
        self.files = hashes_of(folder, there) if self.complete else {}
        write_json(folder / "record.json", asdict(self))


@dataclass(frozen=True)
class Outline:
    """A record without its numbers: enough to choose among thousands."""

    key: dict[str, Any]
    fingerprint: str
    status: str
    config: dict[str, Any]
    forget_set: dict[str, Any]
    models: dict[str, str | None]
    data: dict[str, Any]
    environment: dict[str, Any]
    measured: bool  # as Record.measured
    stamp: str  # another one where the record is
    rest: object  # the record, or what finds it (index.whole)

    @property
    def complete(self) -> bool:
        """Whether the run need not be repeated."""
        return self.status == "complete"

    @classmethod
    def of(cls, record: Record, stamp: str) -> Outline:
        """The outline of a record at hand."""
        return cls(
            record.key, record.fingerprint, record.status, record.config, record.forget_set, record.models,
            record.data, record.environment, record.measured, stamp, record,
        )  # fmt: skip


def stamp_of(folder: Path) -> str | None:
    """What changes with a run's record; None where there is none."""
    try:
        seen = os.stat(f"{folder}/record.json")  # noqa: PTH116
    except OSError:
        return None
    return f"{seen.st_size} {seen.st_mtime_ns} {seen.st_ctime_ns} {seen.st_ino}"


def read(folder: Path) -> Record | None:
    """The record in a run directory, None if there is none; Corrupt if it cannot be one."""
    path = folder / "record.json"
    if not path.is_file():
        return None
    content = read_json(path)
    if content.get("schema") != SCHEMA:
        raise Corrupt(f"{path} has schema {content.get('schema')!r}, not {SCHEMA}")
    known = Record.__dataclass_fields__
    if missing := [name for name in known if name not in (*content, *LATER)]:
        raise Corrupt(f"{path} lacks {', '.join(missing)}")
    if content["status"] not in STATUSES:
        raise Corrupt(f"{path} has the status {content['status']!r}")
    for name in ("key", "config", "metrics", "cost", "files"):
        if not isinstance(content[name], dict):
            raise Corrupt(f"{path}: {name} is not an object")
    if missing := [name for name in KEY if name not in content["key"]]:
        raise Corrupt(f"{path}: key lacks {', '.join(missing)}")
    seeds = content["key"]["seed"]
    if not isinstance(seeds, dict) or not all(isinstance(seeds.get(level), int) for level in SEEDS):
        raise Corrupt(f"{path}: key.seed lacks one of {', '.join(SEEDS)}")
    return Record(**{name: content[name] for name in known if name in content})


def finished(folder: Path) -> Record | None:
    """The record of a complete run whose files are all as written; Corrupt names the one that is not."""
    record = read(folder)
    if record is None or not record.complete:
        return None
    verify(folder, record.files)
    return record


def complete(folder: Path) -> Record:
    """As `finished`; UsageError, in one sentence, for a directory without such a run."""
    try:
        record = finished(folder)
    except Corrupt as error:
        raise UsageError(str(error)) from error
    if record is None:
        raise UsageError(f"{folder} holds no complete run (mubench ls runs)")
    return record


def write_curves(folder: Path, curves: dict[str, Any]) -> None:
    """Write curves.json: what attacks left of each model, by role and attack."""
    write_json(folder / "curves.json", {"schema": SCHEMA, "curves": curves})


def curves(folder: Path) -> dict[str, Any]:
    """What attacks left of a run's models, by role and attack; nothing where none were made."""
    path = folder / "curves.json"
    if not path.is_file():
        return {}
    content = read_json(path)
    if content.get("schema") != SCHEMA or not isinstance(content.get("curves"), dict):
        raise Corrupt(f"{path} has schema {content.get('schema')!r}, not {SCHEMA}")
    found: dict[str, Any] = content["curves"]
    return found


def run_dirs(out: Path) -> Iterator[Path]:
    """Every run directory below `out`, finished, begun or told to a launcher's job, in a stable order."""
    for folder in _walk(str(out / "runs")):
        yield Path(folder)


def _walk(folder: str) -> Iterator[str]:
    try:
        with os.scandir(folder) as entries:
            below = sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
    except OSError:  # removed meanwhile, or not there yet
        return
    for name in below:
        path = f"{folder}/{name}"
        if any(os.path.exists(f"{path}/{sign}") for sign in ("config.yaml", NOTE)):  # noqa: PTH110
            yield path
        else:
            yield from _walk(path)


def query(out: Path) -> Iterator[tuple[Path, Record | Corrupt | None]]:
    """(run directory, its record): None where it is unfinished, the error where it is corrupt.

    Every record is read; index.query gives the same of thousands in a second.
    """
    for folder in run_dirs(out):
        try:
            yield folder, read(folder)
        except Corrupt as error:
            yield folder, error
