"""Tables that are kept: what is printed is what the records say now, and only what changed is worked out."""

from __future__ import annotations

import shutil
import sqlite3
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from mubench import installed, verified
from mubench.database import NAME
from mubench.records import Record, read, run_dirs
from mubench.report import kept_tables

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
import many_records

HELD = 300  # records: all of ratio 2, and some of ratio 4


@pytest.fixture(scope="module")
def written(first, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("kept") / "outputs"
    many_records.main(first.runs()[0], out, HELD)
    return out


@pytest.fixture
def out(written, tmp_path: Path) -> Path:
    return Path(shutil.copytree(written, tmp_path / "outputs"))


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many runs each table that was worked out has."""
    found: list[int] = []
    make = kept_tables._made

    def counted(out, part: Sequence[kept_tables.Run], *others):
        found.append(len(part))
        return make(out, part, *others)

    monkeypatch.setattr(kept_tables, "_made", counted)
    code = installed.identity()  # somebody may edit it meanwhile
    monkeypatch.setattr(kept_tables, "identity", lambda: code)
    return found


def folder_of(out: Path, ratio: float) -> tuple[Path, Record]:
    """A run at this ratio."""
    runs = ((folder, read(folder)) for folder in run_dirs(out))
    return next((folder, one) for folder, one in runs if one is not None and one.key["ratio"] == ratio)


def said(cli: Callable, out: Path, *words: str) -> str:
    done = cli("table", *words, f"out={out}")
    assert done.status == 0, done.err
    return done.out


def test_a_table_is_worked_out_once_and_then_by_what_changes(out, cli, made):
    before = said(cli, out)
    assert len(made) == 2 and sum(made) == HELD and before.count("· random") == 2
    assert said(cli, out) == before and len(made) == 2
    assert before.startswith(said(cli, out, "ratio=2").split("\n±")[0]) and len(made) == 2

    folder, record = folder_of(out, 4.0)
    metrics = {**record.metrics, "unlearned": {**record.metrics["unlearned"], "test_accuracy": 7777.0}}
    replace(record, metrics=metrics).write(folder)
    after = said(cli, out)
    assert len(made) == 3 and made[2] == min(made[:2])
    assert "1,556" in after and "1,556" not in before and said(cli, out) == after and len(made) == 3

    shutil.rmtree(folder)
    gone = said(cli, out)
    assert made[3:] == [made[2] - 1] and gone not in (before, after)
    (out / NAME).unlink()
    assert said(cli, out) == gone and len(made) == 6


@pytest.mark.parametrize(
    "words", [["--sd"], ["--names", "papers"], ["metrics=[test_loss]"], ["--test", "wilcoxon"],
              ["rows=metric", "columns=method"]], ids=" ".join,
)  # fmt: skip
def test_other_choices_are_other_tables(out, cli, made, words):
    plain = said(cli, out)
    chosen = said(cli, out, *words)
    assert chosen != plain and len(made) > 2
    count = len(made)
    assert (said(cli, out, *words), said(cli, out)) == (chosen, plain) and len(made) == count


def test_a_terminal_with_colours_gets_them(out, cli, made, monkeypatch):
    plain = said(cli, out)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    coloured = said(cli, out)
    assert "\x1b[1m" in coloured and "\x1b" not in plain and said(cli, out) == coloured
    monkeypatch.delenv("FORCE_COLOR")
    assert said(cli, out) == plain and len(made) == 4


def test_a_narrow_terminal_changes_nothing(out, cli, made, monkeypatch):
    wide = said(cli, out)
    (out / NAME).unlink()
    monkeypatch.setenv("COLUMNS", "40")
    assert said(cli, out) == wide and len(made) == 4


def test_what_is_verified_is_marked_at_once(out, cli, made):
    assert "✓" not in said(cli, out)
    _, record = folder_of(out, 2.0)
    settings = record.config["method"]
    path = verified.store(out, settings, [], {"digits": {"passed": True}})
    shown = said(cli, out)
    assert f"{settings['name']} ✓" in shown and shown.count("\n✓ ") == 1
    path.unlink()
    assert "✓" not in said(cli, out)


def test_other_code_works_everything_out_again(out, cli, made, monkeypatch):
    before = said(cli, out)
    monkeypatch.setattr(kept_tables, "identity", lambda: ["another"])
    assert said(cli, out) == before and len(made) == 4


def test_rows_that_cannot_be_compared_are_refused_as_if_nothing_were_kept(out, cli):
    said(cli, out)
    for ratio in (2.0, 4.0):
        folder, record = folder_of(out, ratio)
        replace(record, models={**record.models, "original": "0" * 64}).write(folder)
    done = cli("table", f"out={out}")
    assert (done.status, done.out) == (2, "")
    assert "are not the same" in done.err and "(1 more table has such rows)" in done.err
    assert cli("table", f"out={out}") == done


@pytest.mark.parametrize("text", ["{", "[]", "1", '["text"]', '["text", [1]]'])
def test_what_was_not_written_here_is_worked_out_again(out, cli, made, text):
    before = said(cli, out)
    with sqlite3.connect(out / NAME, isolation_level=None) as db:
        db.execute("UPDATE made SET text = ?", (text,))
    assert said(cli, out) == before and len(made) == 4
    assert said(cli, out) == before and len(made) == 4


def test_without_an_index_tables_are_worked_out_each_time(out, cli, made):
    (out / NAME).mkdir()
    assert said(cli, out) == said(cli, out) and len(made) == 4


def test_of_many_the_oldest_are_forgotten(out, cli, made, monkeypatch):
    monkeypatch.setattr("mubench.database.MOST", 3)
    for words in ([], ["--sd"], []):
        said(cli, out, *words)
    assert len(made) == 5  # the first of four was forgotten
    with sqlite3.connect(out / NAME) as db:
        assert db.execute("SELECT count(*) FROM made").fetchone() == (3,)
