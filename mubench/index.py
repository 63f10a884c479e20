"""The runs below an outputs folder, known quickly: records as an SQLite file remembers them.

The records are the truth. The index is brought up to date with every use, by the size, times and inode of
each record.json; what it does not hold is read from the records. Without it, or where it is damaged, of
another version, locked or in a folder that refuses writing, the same comes out, more slowly.
"""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from mubench.database import NAME, Parts, Row, discard, fetched, remember, remembered
from mubench.files import Corrupt
from mubench.records import Outline, Record, read, run_dirs, stamp_of

__all__ = ["NAME", "Brief", "briefs", "outlines", "query", "records_of", "whole"]
# Parts of records that many have in common, held once; those of config and metrics by their names.
SHARED = ("environment", "data", "reasons", "models", "forget_set")
ROLES = ("original", "retrained")  # whose metrics are shared
OUTLINED = ("key", "fingerprint")  # what an outline tells besides shared parts


@dataclass(frozen=True)
class Brief:
    """What a plan or a list of runs needs to know of one."""

    folder: Path
    status: str | None  # of its record; "corrupt"; None: it has none
    error: str | None = None
    kind: tuple[str, str, str] = ("", "", "")  # task, model, method
    cost: str = "{}"  # JSON
    files: str = "{}"  # JSON: hashes by name


class _Rest(NamedTuple):
    """What an outline's record has in common with others; the index has the rest, if it is as was seen."""

    shared: dict[str, Any]  # the parts of a record that others have too
    metrics: dict[str, Any]  # by role; None where they are the record's own


_Known = Row | Record | Corrupt | None


class _Seen(NamedTuple):
    """A run directory, and what is known of it."""

    folder: Path
    stamp: str | None
    known: _Known


@contextmanager
def _uncollected() -> Iterator[None]:
    """Thousands of records are made inside, none given up: a collector would look through them in vain."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


@_uncollected()
def briefs(out: Path) -> list[Brief]:
    """Every run directory below `out` in its order, shortly."""
    found, _ = _look(out, outlined=False)
    return [_brief(folder, one) for folder, _, one in found]


def query(out: Path) -> list[tuple[Path, Record | Corrupt | None]]:
    """(run directory, its record): None where it is unfinished, the error where it is corrupt.

    Records share the parts that are equal in them: they are to read, not to change.
    """
    found = outlines(out)
    records = iter(whole(out, [(folder, one) for folder, one in found if isinstance(one, Outline)]))
    return [(folder, next(records)[1] if isinstance(one, Outline) else one) for folder, one in found]


@_uncollected()
def outlines(
    out: Path, kinds: Mapping[str, Sequence[str]] | None = None
) -> list[tuple[Path, Outline | Corrupt | None]]:
    """The same without the numbers of records, to choose among thousands; `whole` adds them.

    `kinds`: only those whose task, model or method is one of these. What is no record is always told of.
    """
    seen, parts = _look(out, outlined=True)
    found = [one for one in seen if _among(one.known, kinds or {})]
    try:
        return [(one.folder, _outline(one, parts)) for one in found]
    except (ValueError, LookupError, TypeError):  # rows or parts are not what was written
        discard(out)
        read_again = [one._replace(known=_read(one.folder) if one.stamp else None) for one in found]
        return [(one.folder, _outline(one, {})) for one in read_again]


def _among(one: _Known, kinds: Mapping[str, Sequence[str]]) -> bool:
    if isinstance(one, Record):
        return all(one.key[name] in names for name, names in kinds.items())
    return not isinstance(one, Row) or all(getattr(one, name) in names for name, names in kinds.items())


@_uncollected()
def whole(out: Path, chosen: Sequence[tuple[Path, Outline]]) -> list[tuple[Path, Record | Corrupt | None]]:
    """The records of outlines; what has changed since is as it is now."""
    below = _below(out)
    kept = fetched(out, [str(folder)[below:] for folder, one in chosen if isinstance(one.rest, _Rest)])
    found: list[tuple[Path, Record | Corrupt | None]] = []
    for folder, one in chosen:
        if isinstance(one.rest, Record):
            found.append((folder, one.rest))
            continue
        stamp, content = kept.get(str(folder)[below:], ("", ""))
        try:
            same = one.stamp == stamp
            found.append((folder, _record(one, json.loads(content)) if same else _read(folder)))
        except (ValueError, LookupError, TypeError):  # the row is not what was written
            discard(out)
            found.append((folder, _read(folder)))
    return found


def records_of(out: Path, chosen: Sequence[tuple[Path, Outline]]) -> list[tuple[Path, Record]]:
    """The same without those that are gone or torn by now."""
    return [(folder, one) for folder, one in whole(out, chosen) if isinstance(one, Record)]


def _look(out: Path, outlined: bool) -> tuple[list[_Seen], dict[int, Any]]:
    """What is known of each run directory, and the parts that rows name if they are to be `outlined`."""
    seen = {folder: stamp_of(folder) for folder in run_dirs(out)}
    rows, parts = remembered(out, outlined)
    found: list[_Seen] = []
    fresh: list[tuple[str, str, Record]] = []
    below = _below(out)
    for folder, stamp in seen.items():
        name = str(folder)[below:]
        row = rows.pop(name, None)
        if row is not None and row.stamp == stamp:
            found.append(_Seen(folder, stamp, row))
            continue
        record = None if stamp is None else _read(folder)
        found.append(_Seen(folder, stamp, record))
        if isinstance(record, Record) and stamp is not None:
            fresh.append((name, stamp, record))
    if fresh or rows:
        remember(out, lambda parts: (_row(*one, parts) for one in fresh), list(rows))
    return found, parts


def _below(out: Path) -> int:
    """Where in the path of a run directory the name begins that its row has: it is relative to out/runs."""
    return len(str(out / "runs")) + 1


def _read(folder: Path) -> Record | Corrupt | None:
    try:
        return read(folder)
    except Corrupt as error:
        return error


def _row(name: str, stamp: str, record: Record, parts: Parts) -> Row:
    own = dict(vars(record))
    outline: dict[str, Any] = {field: own.pop(field) for field in OUTLINED}
    outline["shared"] = {field: parts.number(own.pop(field)) for field in SHARED}
    outline["config"] = {group: parts.number(value) for group, value in own.pop("config").items()}
    metrics = own.pop("metrics")
    outline["metrics"] = {
        role: parts.number(values) if role in ROLES else None for role, values in metrics.items()
    }
    outline["measured"] = record.measured
    own["metrics"] = {role: values for role, values in metrics.items() if role not in ROLES}
    brief = _brief(Path(name), record)
    texts = json.dumps(outline), json.dumps(own)
    return Row(name, stamp, record.status, record.error, *brief.kind, brief.cost, brief.files, *texts)


def _outline(seen: _Seen, parts: Mapping[int, Any]) -> Outline | Corrupt | None:
    """What a row tells without its content, or a record with it."""
    one = seen.known
    if isinstance(one, Record):
        return Outline.of(one, seen.stamp or "")
    if not isinstance(one, Row):
        return one
    told = json.loads(one.outline)
    shared = {field: parts[number] for field, number in told["shared"].items()}
    config = {group: parts[number] for group, number in told["config"].items()}
    metrics = {role: None if n is None else parts[n] for role, n in told["metrics"].items()}
    return Outline(
        told["key"], told["fingerprint"], one.status, config, shared["forget_set"], shared["models"],
        shared["data"], shared["environment"], told["measured"], one.stamp, _Rest(shared, metrics),
    )  # fmt: skip


def _record(one: Outline, own: dict[str, Any]) -> Record:
    """The record as it was read when its row was written."""
    assert isinstance(one.rest, _Rest)
    numbers = own["metrics"]
    metrics = {role: numbers.get(role, values) for role, values in one.rest.metrics.items()}
    told = {field: getattr(one, field) for field in OUTLINED}
    return Record(**{**own, **told, "config": one.config, **one.rest.shared, "metrics": metrics})


def _brief(folder: Path, found: Row | Record | Corrupt | None) -> Brief:
    if isinstance(found, Row):
        kind = (found.task, found.model, found.method)
        return Brief(folder, found.status, found.error, kind, found.cost, found.files)
    if isinstance(found, Record):
        key = found.key
        kind = (str(key["task"]), str(key["model"]), str(key["method"]))
        return Brief(folder, found.status, found.error, kind, json.dumps(found.cost), json.dumps(found.files))
    return Brief(folder, None if found is None else "corrupt", None if found is None else str(found))
