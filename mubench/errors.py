"""Mistakes of the user, said in one sentence with the nearest right name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UsageError(Exception):
    """Bad input found before any work: one sentence for stderr, exit status 2."""


class NotApplicable(UsageError):
    """What was asked for does not apply to this task: a sweep leaves such a run out, as "n/a"."""


class RunFailed(Exception):
    """Work that had begun could not be finished: one sentence for stderr, exit status 1."""


class Diverged(RunFailed):
    """A loss or a weight became NaN or infinite; the message names the step."""


def unexpected(error: Exception) -> RunFailed:
    """A fault of ours as one sentence; the cause stays attached."""
    failure = RunFailed(f"unexpected {type(error).__name__}: {error} (MUBENCH_DEBUG=1 shows where)")
    failure.__cause__ = error
    return failure


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name closest to a mistyped one, or None where nothing is close."""
    found = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return found[0] if found else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """' Did you mean 'salun'?' or nothing: appended to a sentence."""
    guess = nearest(name, known)
    return f" Did you mean '{guess}'?" if guess else ""
