"""What a reader must know of one row or one cell, as notes below its table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from mubench.records import Record
from mubench.report.notes import few
from mubench.report.reference import suppressed
from mubench.report.rows import Row, reason_of
from mubench.report.sheets import Column, Sheet
from mubench.submissions.requirements import lacks

OWN = "own runs"  # no group can be called so
Whose = Callable[[Record], str]


class Footnotes:
    """Notes of one table, each told once; their marks are letters."""

    def __init__(self) -> None:
        self.marks: dict[str, str] = {}  # by text, in the order of their marks

    def mark(self, *texts: str | None) -> list[str]:
        """The marks of these notes; None is no note."""
        return [self.marks.setdefault(text, _letters(len(self.marks))) for text in texts if text is not None]

    @property
    def listed(self) -> list[tuple[str, str]]:
        """(mark, text), in order."""
        return [(mark, text) for text, mark in self.marks.items()]


def _letters(place: int) -> str:
    """a, b, … z, aa, ab, …"""
    higher, letter = divmod(place, 26)
    return (_letters(higher - 1) if higher else "") + chr(ord("a") + letter)


def groups_of(records: Iterable[Record], whose: Whose) -> list[str]:
    """Whose runs these are."""
    return sorted({whose(record) for record in records})


def of_row(row: Row, whose: Whose) -> Iterator[str]:
    """What is to be known of a row's runs; nothing of a shared model's."""
    if row.role != "unlearned":
        return
    total = len(row.records)
    for why, count in Counter(filter(None, map(lacks, row.records))).items():
        yield f"not on the leaderboard: {_share(count, total)}{why}"
    silent = [names for record in row.records if (names := suppressed(record.reasons))]
    if silent:
        ratios = ", ".join(dict.fromkeys(name for names in silent for name in names))
        yield (
            f"{_share(len(silent), total)}original and retrained model do not differ beyond noise on the "
            f"forget set, so ratios of their difference are suppressed ({ratios})"
        )
    owners = Counter(map(whose, row.records))
    if len(owners) > 1:
        told = ", ".join(f"{name} {count}" for name, count in sorted(owners.items()))
        yield f"runs of several groups: {told}"


def of_number(sheet: Sheet, label: str) -> str | None:
    """What is to be known of how many training seeds a row has."""
    return few(sheet.n(label))


def of_cell(sheet: Sheet, column: Column, label: str) -> str | None:
    """Why a number is missing, or stands on fewer training seeds than its row."""
    row, summary, n = sheet.rows[label], column.summaries[label], sheet.n(label)
    reason = reason_of(row, column.name)
    if summary is None:
        return reason
    if summary.n < n:
        return f"of {summary.n} of {n} training seeds" + (f": {reason}" if reason else "")
    return None


def _share(count: int, total: int) -> str:
    """ "2 of 3 runs: ", or nothing for all of them"""
    return "" if count == total else f"{count} of {total} runs: "
