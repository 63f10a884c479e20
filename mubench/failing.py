"""How a command of several processes ends when one of them fails: for all alike, and with one message.

A process that fails says why on a board that all can read, torch's store, and waits for the others to fail
too, as they do for a mistake of the user or a loss that diverges. Those that do not are in the middle of an
exchange with it: then it hangs up, which wakes them with an error of their own. So all of them end with what
the first one said, the main process tells it, and nobody leaves before. What cannot be woken, such as a
kernel of NCCL, is ended by the launcher, once the process that failed has left.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Any

from mubench import processes
from mubench.errors import Diverged, NotApplicable, RunFailed, UsageError

PATIENCE = 5.0  # seconds that a process waits for the others to fail too
KINDS: dict[str, type[UsageError] | type[RunFailed]] = {
    kind.__name__: kind for kind in (Diverged, RunFailed, NotApplicable, UsageError)
}


@dataclass
class _Course:
    """How many failures there were so far, and whether the processes can still talk to each other."""

    failures: int = 0
    parted: bool = False


_course = _Course()


@cache
def _board() -> Any:
    import torch.distributed as dist

    torch_dist: Any = dist
    store, _, _ = next(iter(torch_dist.rendezvous("env://")))
    return torch_dist.PrefixStore("mubench", store)


def open_board() -> None:
    """Have the board at hand, all processes at the same time, before one of them may be gone."""
    _board()


def parted() -> bool:
    """Whether a process was lost: the others can do no more work together."""
    return _course.parted


def agreed(error: Exception) -> Exception:
    """The error that all processes end the present work with: what the first of them failed by.

    Each process that fails calls this, once for every place that an error is caught at.
    """
    if processes.count() == 1 or _course.parted:
        return error
    number, _course.failures = _course.failures, _course.failures + 1
    own = _told(error)
    try:
        first = _first(number, own)
    except Exception:  # the board is gone, and the process that held it
        first, _course.parted = own, True
    return error if first == own and not _lost(error) else KINDS[first[0]](first[1])


def _first(number: int, own: list[str]) -> list[str]:
    """What the first process failed by; none goes on before all have failed, or were hung up on."""
    board = _board()
    if board.add(f"{number}/failed", 1) == 1:
        board.set(f"{number}/cause", json.dumps(own))
    first: list[str] = json.loads(board.get(f"{number}/cause"))
    if not _all_failed(number):
        board.set(f"{number}/parted", "")
        _hang_up("gloo")  # where it wakes the others; NCCL would have this process wait
        _all_failed(number)
    _course.parted = board.check([f"{number}/parted"])
    return first


def _told(error: Exception) -> list[str]:
    """The error's kind and sentence, as other processes are told them."""
    if isinstance(error, UsageError | RunFailed):
        return [next(name for name, kind in KINDS.items() if isinstance(error, kind)), str(error)]
    if _lost(error):
        return ["RunFailed", "another process of this command ended without a word (was it killed?)"]
    return ["RunFailed", f"process {processes.rank()}: {type(error).__name__}: {error}"]


def _lost(error: Exception) -> bool:
    """Whether the error tells of a process that is gone."""
    return isinstance(error, RuntimeError) and any(word in str(error) for word in ("gloo", "NCCL"))


def _all_failed(number: int) -> bool:
    """Whether all processes have failed, waited for."""
    board = _board()
    return _until(lambda: board.add(f"{number}/failed", 0) >= processes.launched(), PATIENCE)


def _until(true: Callable[[], bool], seconds: float) -> bool:
    """Whether something comes true in this time."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def _hang_up(*backends: str) -> None:
    """Close the connections to the other processes, if they are of these kinds; of any if none are named."""
    import torch.distributed as dist

    if dist.is_initialized() and (not backends or dist.get_backend() in backends):
        with suppress(Exception):  # of an exchange that is under way
            dist.destroy_process_group()


def leave(status: int, tell: Callable[[], object]) -> int:
    """Have the main process tell how the command ended, before any of them leaves; the exit status."""
    if processes.launched() == 1 or not _board.cache_info().currsize:
        tell()
        return status
    try:
        _part(tell)
    except Exception:  # the board is gone, and the process that held it
        tell()
    if _course.parted:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)  # an exchange that was broken off may hold up an orderly end
    _hang_up()
    return status


def _part(tell: Callable[[], object]) -> None:
    """The main process tells, another only if it does not; the main one goes last: it may hold the board."""
    board = _board()
    if processes.main():
        tell()
        board.set("told", "")
        _until(lambda: board.add("left", 0) >= processes.launched() - 1, PATIENCE)
        return
    if not _until(lambda: bool(board.check(["told"])), 6 * PATIENCE):
        tell()
    board.add("left", 1)
