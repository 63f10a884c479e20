"""Tables in text, each kept in the index until a record of it changes, or whatever else decides it."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mubench.database import keep, recalled
from mubench.errors import UsageError
from mubench.index import records_of
from mubench.installed import identity
from mubench.records import Outline
from mubench.report.notes import Told
from mubench.report.places import Place, order, place_of
from mubench.report.printed import Printed
from mubench.report.proofs import proofs
from mubench.report.shape import Shape
from mubench.report.terminal import kind
from mubench.statistics import Test

if TYPE_CHECKING:
    from mubench.records import Record
    from mubench.report.rows import Proven
    from mubench.report.sheets import Sheet

Run = tuple[Path, Outline]  # its directory, and what it is


class Asked(NamedTuple):
    """What a user chose of tables."""

    metrics: Sequence[str] | None  # as typed: ours or the papers' names
    shape: Shape
    test: Test


def tables(out: Path, runs: Sequence[Run], asked: Asked) -> list[Printed]:
    """The tables of these runs; UsageError for runs that cannot be compared, or a metric that none has."""
    proven = proofs(out, runs)
    parts = _apart(runs) if asked.shape.usual and asked.metrics is None else [runs]
    keys = _keys(parts, asked, proven)
    found = {key: one for key, text in recalled(out, keys).items() if (one := _read(text)) is not None}
    try:
        fresh = {
            key: _made(out, part, asked, proven)
            for key, part in zip(keys, parts, strict=True)
            if key not in found
        }
    except UsageError:
        _made(out, runs, asked, proven)  # says of how many tables it is true
        raise
    keep(out, {key: json.dumps(one) for key, one in fresh.items()})
    return [{**found, **fresh}[key] for key in keys]


def _apart(runs: Sequence[Run]) -> list[list[Run]]:
    """Runs by the table that they stand in: none of them depends on another."""
    found: dict[Place, list[Run]] = defaultdict(list)
    for run in runs:
        found[place_of(run[1].key)].append(run)
    return [found[place] for place in sorted(found, key=order)]


def _keys(parts: Sequence[Sequence[Run]], asked: Asked, proven: Proven) -> list[str]:
    """Hashes of all that decides what is printed of each part."""
    alike = hashlib.sha256(json.dumps([identity(), kind(), repr(asked)]).encode())
    found = []
    for part in parts:
        own = alike.copy()
        own.update(json.dumps([(str(folder), one.stamp, proven(one)) for folder, one in part]).encode())
        found.append(own.hexdigest())
    return found


def _made(out: Path, part: Sequence[Run], asked: Asked, proven: Proven) -> Printed:
    from mubench.report.table import printed  # numpy and others, which take as long as all else

    records = [record for _, record in records_of(out, part)]
    return printed(sheets_of(records, asked), proven, asked.shape, asked.test)


def sheets_of(records: Sequence[Record], asked: Asked) -> list[Sheet]:
    """The tables of these records as numbers."""
    from mubench.report.papers import USUAL, ours
    from mubench.report.sheets import COLUMNS, sheets

    usual = USUAL if asked.shape.papers else COLUMNS
    return sheets(records, asked.metrics and ours(asked.metrics), asked.test, usual)


def _read(kept: str) -> Printed | None:
    """What was kept; None of what was not written here."""
    try:
        text, told = json.loads(kept)
        return Printed(text, Told(*told))
    except (ValueError, TypeError):
        return None
