"""The SQLite file that the index of records is kept in: read, and brought up to date, where that can be had.

Beside records it keeps what was worked out of them, under hashes of all that decides it.

A damaged file is taken away, one of another version made anew; where it is locked, or its folder refuses
writing, nothing is known and nothing kept.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")
NAME = "index.sqlite"
VERSION = 3  # of the tables: another one is made anew
WAIT = 2.0  # seconds for another process that writes; then what is new is not remembered
MOST = 500  # things worked out that are kept; the oldest are forgotten
DAMAGE = (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_MISMATCH)
TABLES = (
    "CREATE TABLE parts (id INTEGER PRIMARY KEY, content TEXT UNIQUE NOT NULL)",
    "CREATE TABLE runs (folder TEXT PRIMARY KEY, stamp TEXT, status TEXT, error TEXT, task TEXT, model TEXT,"
    " method TEXT, cost TEXT, files TEXT, outline TEXT, content TEXT)",
    "CREATE TABLE made (number INTEGER PRIMARY KEY, key TEXT UNIQUE NOT NULL, text TEXT NOT NULL)",
)


class Row(NamedTuple):
    """What is kept of a run."""

    folder: str  # below out/runs
    stamp: str
    status: str
    error: str | None
    task: str
    model: str
    method: str
    cost: str
    files: str
    outline: str  # what an outline tells, with numbers of parts for what it shares
    content: str  # all else, but shared parts


def remembered(out: Path, outlined: bool) -> tuple[dict[str, Row], dict[int, Any]]:
    """The rows of the index by folder, without contents, and the parts if they are to be `outlined`."""
    outline = "outline" if outlined else "''"
    columns = ", ".join(Row._fields[:-2])

    def look(db: sqlite3.Connection) -> tuple[dict[str, Row], dict[int, Any]]:
        rows = {row[0]: Row(*row) for row in db.execute(f"SELECT {columns}, {outline}, '' FROM runs")}
        told = db.execute("SELECT id, content FROM parts") if outlined else ()
        return rows, {number: json.loads(text) for number, text in told}

    return _looked(out, look) or ({}, {})


def fetched(out: Path, names: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Stamp and content of rows by folder."""
    return _selected(out, "SELECT stamp, content FROM runs WHERE folder = ?", names)


def recalled(out: Path, keys: Sequence[str]) -> dict[str, str]:
    """What was worked out, by the hashes that it is kept under."""
    return {key: text for key, (text,) in _selected(out, "SELECT text FROM made WHERE key = ?", keys).items()}


def _selected(out: Path, query: str, names: Sequence[str]) -> dict[str, Any]:
    """The one row that a query finds of each name, of those that it finds."""

    def look(db: sqlite3.Connection) -> dict[str, Any]:
        rows = ((name, db.execute(query, (name,)).fetchone()) for name in names)
        return {name: row for name, row in rows if row is not None}

    return _looked(out, look) or {}


def _looked(out: Path, look: Callable[[sqlite3.Connection], T]) -> T | None:
    """What a look at the index at one moment gives; None without a sound index."""
    if not (out / NAME).is_file():
        return None
    try:
        with closing(_open(out)) as db:
            if db.execute("PRAGMA user_version").fetchone()[0] != VERSION:
                return None
            db.execute("BEGIN")
            return look(db)
    except (sqlite3.Error, ValueError) as error:
        _damaged(out, error)
        return None


def _open(out: Path) -> sqlite3.Connection:
    return sqlite3.connect(out / NAME, timeout=WAIT, isolation_level=None)


def _damaged(out: Path, error: Exception) -> None:
    """Discard the index where the error says so, not where it is locked or the folder refuses writing."""
    if getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF in DAMAGE:
        discard(out)


def discard(out: Path) -> None:
    """Take a damaged index away, and what SQLite keeps beside it."""
    for name in (f"{NAME}-journal", NAME):
        with suppress(OSError):
            (out / name).unlink(missing_ok=True)


def remember(out: Path, fresh: Callable[[Parts], Iterable[Row]], gone: Sequence[str]) -> None:
    """Bring the index up to date, if that can be had; `fresh` makes the new rows."""

    def change(db: sqlite3.Connection) -> None:
        db.executemany("DELETE FROM runs WHERE folder = ?", [(name,) for name in gone])
        places = ", ".join("?" * len(Row._fields))
        db.executemany(f"INSERT OR REPLACE INTO runs VALUES ({places})", fresh(Parts(db)))

    _changed(out, change)


def keep(out: Path, made: Mapping[str, str]) -> None:
    """Keep what was worked out under hashes of all that decides it, if that can be had."""

    def change(db: sqlite3.Connection) -> None:
        db.executemany("INSERT OR REPLACE INTO made (key, text) VALUES (?, ?)", made.items())
        db.execute("DELETE FROM made WHERE number <= (SELECT max(number) FROM made) - ?", (MOST,))

    if made and (out / NAME).is_file():
        _changed(out, change)


def _changed(out: Path, change: Callable[[sqlite3.Connection], None]) -> None:
    """Change the index in one transaction, if that can be had."""
    try:
        with closing(_open(out)) as db:
            db.execute("BEGIN IMMEDIATE")
            if db.execute("PRAGMA user_version").fetchone()[0] != VERSION:
                _make_tables(db)
            change(db)
            db.execute("COMMIT")
    except sqlite3.Error as error:
        _damaged(out, error)


def _make_tables(db: sqlite3.Connection) -> None:
    for name in ("runs", "parts", "made"):
        db.execute(f"DROP TABLE IF EXISTS {name}")
    for table in TABLES:
        db.execute(table)
    db.execute(f"PRAGMA user_version = {VERSION}")


class Parts:
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
