"""The tables that can be compared, one by one; what is said of those that cannot."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from mubench.errors import UsageError
from mubench.records import Record
from mubench.report.page.leaderboard import METRICS
from mubench.report.sheets import COLUMNS, Sheet, sheets

ALL = tuple(dict.fromkeys((*COLUMNS, *METRICS)))


def fair(records: Sequence[Record]) -> tuple[list[Sheet], list[str]]:
    """Tables by task, model and deletion, and the reason for each that puts unlike runs side by side."""
    groups: dict[tuple[object, ...], list[Record]] = defaultdict(list)
    for record in records:
        groups[tuple(str(record.key[name]) for name in ("task", "model", "deletion", "ratio"))].append(record)
    found: list[Sheet] = []
    refused = []
    for some in groups.values():
        try:
            found += sheets(some, None, usual=ALL)
        except UsageError as error:
            refused.append(str(error))
    order = sorted(found, key=lambda sheet: (*sheet.place[:3], sheet.place.ratio or 0.0))
    return order, refused


def of(found: Sequence[Sheet], metrics: Sequence[str]) -> list[Sheet]:
    """The tables with some of their columns only; those that have none are left out."""
    cut = [replace(sheet, columns=[c for c in sheet.columns if c.name in metrics]) for sheet in found]
    return [sheet for sheet in cut if sheet.columns]
