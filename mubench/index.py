"""The runs below an outputs folder, known quickly: records as an SQLite file remembers them.

The records are the truth. The index is brought up to date with every use, by the size, times and inode of
each record.json; what it does not hold is read from the records. Without it, or where it is damaged, of
another version, locked or in a folder that refuses writing, the same comes out, more slowly.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from mubench.files import Corrupt
from mubench.records import Record, read, run_dirs

NAME = "index.sqlite"
VERSION = 1  # of the tables: another one is made anew
WAIT = 2.0  # seconds for another process that writes; then what is new is not remembered
DAMAGE = (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_MISMATCH)
# Parts of records that many have in common, held once; those of config and metrics by their names.
SHARED = ("environment", "data", "reasons", "models", "forget_set")
SPLIT = {"config": None, "metrics": ("original", "retrained")}  # None: all of it
TABLES = (
    "CREATE TABLE parts (id INTEGER PRIMARY KEY, content TEXT UNIQUE NOT NULL)",
    "CREATE TABLE runs (folder TEXT PRIMARY KEY, stamp TEXT, status TEXT, error TEXT, task TEXT, model TEXT,"
    " method TEXT, cost TEXT, files TEXT, content TEXT)",
)


@dataclass(frozen=True)
class Brief:
    """What a plan or a list of runs needs to know of one."""

    folder: Path
    status: str | None  # of its record; "corrupt"; None: it has none
    error: str | None = None
    kind: tuple[str, str, str] = ("", "", "")  # task, model, method
    cost: str = "{}"  # JSON
    files: str = "{}"  # JSON: hashes by name


class _Row(NamedTuple):
    folder: str  # below out/runs
    stamp: str
    status: str
    error: str | None
    task: str
    model: str
    method: str
    cost: str
    files: str
    content: str  # the record, with numbers of parts for what it shares


def briefs(out: Path) -> list[Brief]:
    """Every run directory below `out` in its order, shortly."""
    found, _ = _look(out, whole=False)
    return [_brief(folder, one) for folder, one in found]


def query(out: Path) -> list[tuple[Path, Record | Corrupt | None]]:
    """(run directory, its record): None where it is unfinished, the error where it is corrupt.

    Records share the parts that are equal in them: they are to read, not to change.
    """
    found, parts = _look(out, whole=True)
    try:
        return [(folder, _record(one, parts) if isinstance(one, _Row) else one) for folder, one in found]
    except (ValueError, LookupError, TypeError):  # rows or parts are not what was written
        _discard(out)
        return [(folder, _read(folder)) for folder, _ in found]


def _look(out: Path, whole: bool) -> tuple[list[tuple[Path, _Row | Record | Corrupt | None]], dict[int, Any]]:
    """What is known of each run directory, and the parts that rows name if they are to be `whole`."""
    seen = {folder: _stamp(folder) for folder in run_dirs(out)}
    rows, parts = _remembered(out, whole)
    found: list[tuple[Path, _Row | Record | Corrupt | None]] = []
    fresh: list[tuple[str, str, Record]] = []
    for folder, stamp in seen.items():
        name = str(folder.relative_to(out / "runs"))
        row = rows.pop(name, None)
        if row is not None and row.stamp == stamp:
            found.append((folder, row))
            continue
        record = None if stamp is None else _read(folder)
        found.append((folder, record))
        if isinstance(record, Record) and stamp is not None:
            fresh.append((name, stamp, record))
    if fresh or rows:
        _remember(out, fresh, list(rows))
    return found, parts


def _stamp(folder: Path) -> str | None:
    """What changes with a run's record; None where there is none."""
    try:
        seen = os.stat(folder / "record.json")  # noqa: PTH116
    except OSError:
        return None
    return f"{seen.st_size} {seen.st_mtime_ns} {seen.st_ctime_ns} {seen.st_ino}"


def _read(folder: Path) -> Record | Corrupt | None:
    try:
        return read(folder)
    except Corrupt as error:
        return error


def _remembered(out: Path, whole: bool) -> tuple[dict[str, _Row], dict[int, Any]]:
    """The rows of the index by folder, and the parts if they are `whole`; nothing without a sound index."""
    if not (out / NAME).is_file():
        return {}, {}
    content = "content" if whole else "''"
    names = ", ".join(_Row._fields[:-1])
    try:
        with closing(_open(out)) as db:
            if db.execute("PRAGMA user_version").fetchone()[0] != VERSION:
                return {}, {}
            db.execute("BEGIN")  # rows and parts of one moment
            rows = {row[0]: _Row(*row) for row in db.execute(f"SELECT {names}, {content} FROM runs")}
            told = db.execute("SELECT id, content FROM parts") if whole else ()
            return rows, {number: json.loads(text) for number, text in told}
    except (sqlite3.Error, ValueError) as error:
        _damaged(out, error)
        return {}, {}


def _open(out: Path) -> sqlite3.Connection:
    return sqlite3.connect(out / NAME, timeout=WAIT, isolation_level=None)


def _damaged(out: Path, error: Exception) -> None:
    """Discard the index where the error says so, not where it is locked or the folder refuses writing."""
    if getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF in DAMAGE:
        _discard(out)


def _discard(out: Path) -> None:
    """Take a damaged index away, and what SQLite keeps beside it."""
    for name in (f"{NAME}-journal", NAME):
        with suppress(OSError):
            (out / name).unlink(missing_ok=True)


def _remember(out: Path, fresh: list[tuple[str, str, Record]], gone: list[str]) -> None:
    """Bring the index up to date in one transaction, if that can be had."""
    try:
        with closing(_open(out)) as db:
            db.execute("BEGIN IMMEDIATE")
            if db.execute("PRAGMA user_version").fetchone()[0] != VERSION:
                _make_tables(db)
            db.executemany("DELETE FROM runs WHERE folder = ?", [(name,) for name in gone])
            parts = _Parts(db)
            places = ", ".join("?" * len(_Row._fields))
            rows = (_row(name, stamp, record, parts) for name, stamp, record in fresh)
            db.executemany(f"INSERT OR REPLACE INTO runs VALUES ({places})", rows)
            db.execute("COMMIT")
    except sqlite3.Error as error:
        _damaged(out, error)


def _make_tables(db: sqlite3.Connection) -> None:
    for name in ("runs", "parts"):
        db.execute(f"DROP TABLE IF EXISTS {name}")
    for table in TABLES:
        db.execute(table)
    db.execute(f"PRAGMA user_version = {VERSION}")


class _Parts:
    """Numbers for what records have in common."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self.db = db
        self.known: dict[str, int] = {text: number for number, text in db.execute("SELECT * FROM parts")}

    def number(self, value: Any) -> int:
        """The number of a part, a new one if it is new."""
        text = json.dumps(value)
        if text not in self.known:
            made = self.db.execute("INSERT INTO parts (content) VALUES (?)", (text,)).lastrowid
            assert made is not None
            self.known[text] = made
        return self.known[text]


def _row(name: str, stamp: str, record: Record, parts: _Parts) -> _Row:
    told = dict(vars(record))
    shared = {field: parts.number(told.pop(field)) for field in SHARED}
    split = {
        field: {
            key: [1, parts.number(value)] if common is None or key in common else [0, value]
            for key, value in told.pop(field).items()
        }
        for field, common in SPLIT.items()
    }
    brief = _brief(Path(name), record)
    content = json.dumps({"own": told, "shared": shared, "split": split})
    return _Row(name, stamp, record.status, record.error, *brief.kind, brief.cost, brief.files, content)


def _record(row: _Row, parts: Mapping[int, Any]) -> Record:
    """The record as it was read when its row was written."""
    content = json.loads(row.content)
    split: dict[str, Any] = {
        field: {key: parts[value] if common else value for key, (common, value) in items.items()}
        for field, items in content["split"].items()
    }
    shared: dict[str, Any] = {field: parts[number] for field, number in content["shared"].items()}
    return Record(**content["own"], **shared, **split)


def _brief(folder: Path, found: _Row | Record | Corrupt | None) -> Brief:
    if isinstance(found, _Row):
        kind = (found.task, found.model, found.method)
        return Brief(folder, found.status, found.error, kind, found.cost, found.files)
    if isinstance(found, Record):
        key = found.key
        kind = (str(key["task"]), str(key["model"]), str(key["method"]))
        return Brief(folder, found.status, found.error, kind, json.dumps(found.cost), json.dumps(found.files))
    return Brief(folder, None if found is None else "corrupt", None if found is None else str(found))
