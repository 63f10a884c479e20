"""What a check found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Finding:
    """One check of one method: passed, failed, or not applicable (None), and a sentence that says why."""

    check: str
    passed: bool | None
    found: str

    def named(self, check: str) -> Finding:
        """The same under the name of its check."""
        return replace(self, check=check)


def good(found: str) -> Finding:
    """The method does what it should."""
    return Finding("", True, found)


def bad(found: str) -> Finding:
    """The method does what it must not."""
    return Finding("", False, found)


def idle(found: str) -> Finding:
    """There is nothing to check."""
    return Finding("", None, found)


def first_bad(findings: Iterable[Finding | None], otherwise: str) -> Finding:
    """The first that failed; else all is good."""
    return next((f for f in findings if f is not None and f.passed is False), good(otherwise))


def listed(names: Iterable[object], most: int = 3) -> str:
    """Some of the names, and how many more there are."""
    every = [str(name) for name in names]
    more = f" and {len(every) - most} more" if len(every) > most else ""
    return ", ".join(every[:most]) + more
