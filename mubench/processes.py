"""The processes of one command, as `accelerate launch` or `torchrun` start them.

All of them carry out the same command, step by step, on the same data. The main one alone takes locks,
writes and speaks; what it reads or decides, the others are told. Started without a launcher there is one
process, and nothing here does anything.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

from mubench.errors import RunFailed, UsageError

T = TypeVar("T")
SHARDED = "ACCELERATE_USE_FSDP"  # as accelerate's launcher says it
REFUSED = {  # what it says of other layouts, and the options that make it do so
    "FSDP_OFFLOAD_PARAMS": "--fsdp_offload_params",
    "FSDP_ACTIVATION_CHECKPOINTING": "--fsdp_activation_checkpointing",
    "ACCELERATE_USE_DEEPSPEED": "--use_deepspeed",
    "ACCELERATE_USE_MEGATRON_LM": "--use_megatron_lm",
    "ACCELERATE_USE_PARALLELISM_CONFIG": "--use_parallelism_config",
}


@dataclass
class _Here:
    """This process: whether it works by itself for a while."""

    alone: bool = False


_here = _Here()


def launched() -> int:
    """Processes that the command was started with."""
    return int(os.environ.get("WORLD_SIZE") or 1) if os.environ.get("RANK") else 1


def check(verb: str, together: bool) -> None:
    """UsageError for several processes where a verb is the work of one, and for layouts that are not ours."""
    if launched() > 1 and not together:
        raise UsageError(f"mubench {verb} is the work of one process: start it without a launcher")
    for name, option in REFUSED.items():
        if _says(name):
            raise UsageError(
                f"accelerate launch {option}: of all layouts, mubench has --multi_gpu and --use_fsdp alone "
                "(docs/processes.md)"
            )
    if _says(SHARDED) and launched() == 1:
        raise UsageError("--use_fsdp shares a model out over processes: start more than one")


def _says(name: str) -> bool:
    return os.environ.get(name, "").lower() == "true"


def count() -> int:
    """Processes that share the present work; 1 inside what `shared` has the main one do."""
    return 1 if _here.alone else launched()


def sharded() -> bool:
    """Whether each process is to hold a part of every weight, in place of all (docs/processes.md)."""
    return count() > 1 and _says(SHARDED)


@contextmanager
def unmarked() -> Iterator[None]:
    """Inside, the environment does not ask for shards: accelerate would make them itself, on GPUs alone."""
    mark = os.environ.pop(SHARDED, None)
    try:
        yield
    finally:
        if mark is not None:
            os.environ[SHARDED] = mark


def rank() -> int:
    """The number of this process, from 0."""
    return int(os.environ["RANK"]) if launched() > 1 else 0


def main() -> bool:
    """Whether this is the process that locks, writes and speaks."""
    return rank() == 0


@contextmanager
def hushed() -> Iterator[None]:
    """Inside, what another process than the main one prints goes nowhere."""
    if main() or os.environ.get("MUBENCH_DEBUG"):
        yield
        return
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        yield


def mine(number: int) -> bool:
    """Whether the work of this number falls to this process, where each piece is done by one of them."""
    return number % count() == rank()


@contextmanager
def _alone() -> Iterator[None]:
    before, _here.alone = _here.alone, True
    try:
        yield
    finally:
        _here.alone = before


def shared(work: Callable[[], T]) -> T:
    """What `work` gives, done by the main process alone while the others wait; an error is everyone's."""
    if count() == 1:
        return work()
    import torch.distributed as dist

    outcome: list[Any] = [None, None]
    error: Exception | None = None
    if main():
        try:
            with _alone():
                outcome[0] = work()
        except Exception as raised:
            error, outcome[1] = raised, _portable(raised)
    dist.broadcast_object_list(outcome, src=0)
    if outcome[1] is not None:
        raise error or outcome[1]
    return cast(T, outcome[0])


def _portable(error: Exception) -> Exception:
    """The error as another process can be told it."""
    from mubench import files

    ours = isinstance(error, UsageError | RunFailed | files.Corrupt)
    return error if ours else RuntimeError(f"{type(error).__name__}: {error}")


def main_first(work: Callable[[], T]) -> T:
    """What `work` gives in each process; the others begin when the main one is done, with what it left."""
    found: list[T] = []

    def first() -> None:
        found.append(work())

    shared(first)
    return found[0] if found else work()


def gathered(items: list[T]) -> list[T]:
    """The items of all processes, in the order of their numbers, in every process."""
    if count() == 1:
        return items
    import torch.distributed as dist

    everyones: list[list[T]] = [[] for _ in range(count())]
    dist.all_gather_object(everyones, items)
    return [item for each in everyones for item in each]


@contextmanager
def locked(path: Path, waiting: Callable[[], object]) -> Iterator[None]:
    """The main process holds a lock file for all of them (`files.locked`)."""
    from mubench import files

    with ExitStack() as held:

        def take() -> None:
            held.enter_context(files.locked(path, waiting))

        shared(take)
        yield
