"""The index of records: verbs say the same with it, without it, and whatever has become of it."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from mubench import database, index
from mubench.files import Corrupt
from mubench.index import NAME, briefs, query
from mubench.records import Record, read, run_dirs
from mubench.records import query as plain

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
import many_records

VERBS = (
    ["status"], ["status", "*bad*"], ["ls", "runs"], ["ls", "runs", "--json"], ["table"],
    ["table", "method=neggrad,original", "ratio=2"], ["table", "--format", "json"],
    ["table", "training.batch_size=64,65", "seed.train=0,3"], ["table", "--pairs", "metrics=[forget_loss]"],
    ["table", "rows=metric", "columns=method", "ratio=2"], ["table", "trainin.epochs=10"],
    ["table", "ratio=99"],
)  # fmt: skip


@pytest.fixture
def many(first, tmp_path: Path) -> Path:
    """An outputs folder with 60 records, one of them torn, one failed, one run unfinished."""
    out = tmp_path / "many"
    many_records.main(first.runs()[0], out, 60)
    runs = list(run_dirs(out))
    (runs[3] / "record.json").write_text("{", encoding="utf-8")
    (runs[4] / "record.json").unlink()
    failed = read(runs[5])
    assert failed is not None
    replace(failed, status="failed", error="a reason").write(runs[5])
    return out


def said(cli, out: Path) -> list[tuple[int, str, str]]:
    return [(done.status, done.out, done.err) for verb in VERBS for done in [cli(*verb, f"out={out}")]]


def same(out: Path) -> bool:
    """Whether the index gives what the records hold, to the order of their keys."""
    return list(map(shown, query(out))) == list(map(shown, plain(out)))


def shown(found: tuple[Path, Record | Corrupt | None]) -> tuple[Path, str]:
    folder, one = found
    return folder, json.dumps(vars(one), sort_keys=False) if isinstance(one, Record) else repr(one)


def content_of(out: Path) -> list[tuple[str, str]]:
    with sqlite3.connect(out / NAME) as db:
        return db.execute("SELECT folder, stamp FROM runs ORDER BY folder").fetchall()


def test_verbs_say_the_same_without_an_index_with_a_new_one_and_with_an_old_one(many, cli, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(index, "remembered", lambda out, outlined: ({}, {}))
        patched.setattr(index, "remember", lambda *_: None)
        without = said(cli, many)
    assert not (many / NAME).exists()
    assert said(cli, many) == without
    assert len(content_of(many)) == 58
    with monkeypatch.context() as patched:  # now from the index alone, but for the torn record
        patched.setattr(index, "read", lambda folder: refuse(folder))
        assert said(cli, many) == without


def refuse(folder: Path) -> Record | None:
    if (folder / "record.json").read_text(encoding="utf-8") != "{":
        raise AssertionError(f"{folder} was read")
    return read(folder)


def test_what_changes_is_read_again_and_nothing_else(many, monkeypatch):
    query(many)
    runs = list(run_dirs(many))
    record = read(runs[10])
    assert record is not None
    replace(record, overrides=[text.swapcase() for text in record.overrides]).write(runs[10])
    shutil.rmtree(runs[11])
    runs[12].rename(runs[12].with_name("seed99-moved"))
    seen: list[Path] = []
    with monkeypatch.context() as patched:
        patched.setattr(index, "read", lambda folder: seen.append(folder) or read(folder))
        query(many)
    assert seen == [runs[3], runs[10], runs[12].with_name("seed99-moved")]
    assert same(many) and len(content_of(many)) == 57


@pytest.mark.parametrize(
    "damage",
    [lambda path: path.write_bytes(b"no database" * 1000),
     lambda path: path.write_bytes(path.read_bytes()[:5000]),
     lambda path: path.write_bytes(path.read_bytes()[:8192] + os.urandom(path.stat().st_size - 8192)),
     lambda path: path.write_bytes(b""),
     lambda path: sqlite3.connect(path, isolation_level=None).execute("PRAGMA user_version = 99"),
     lambda path: sqlite3.connect(path, isolation_level=None).execute("DROP TABLE parts"),
     lambda path: sqlite3.connect(path, isolation_level=None).execute("DELETE FROM parts"),
     lambda path: sqlite3.connect(path, isolation_level=None).execute("UPDATE runs SET content = '{'"),
     lambda path: sqlite3.connect(path, isolation_level=None).execute("UPDATE runs SET outline = '{}'")],
    ids=["other", "cut", "garbled", "empty", "version", "table", "parts", "content", "outline"],
)  # fmt: skip
def test_a_damaged_index_is_made_anew(many, damage):
    query(many)
    whole = content_of(many)
    damage(many / NAME)
    assert same(many)
    briefs(many)
    assert same(many) and content_of(many) == whole


def test_where_nothing_can_be_written_the_records_are_read(many):
    (many / NAME).mkdir()
    assert same(many) and len(briefs(many)) == 60


def test_while_another_process_writes_the_records_are_read(many, monkeypatch):
    query(many)
    shutil.rmtree(next(run_dirs(many)))
    monkeypatch.setattr(database, "WAIT", 0.05)
    with sqlite3.connect(many / NAME, isolation_level=None) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert same(many)
    assert same(many)


def test_several_at_once_agree_and_leave_a_whole_index(many):
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: list(map(shown, query(many))), range(8)))
    assert all(one == list(map(shown, plain(many))) for one in found)
    assert len(content_of(many)) == 58 and same(many)


def test_an_empty_or_missing_folder_has_no_runs_and_gets_no_index(tmp_path):
    assert query(tmp_path / "nowhere") == briefs(tmp_path) == []
    assert not list(tmp_path.iterdir())
