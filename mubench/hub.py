"""Reaching the Hugging Face hub: without its warnings, and with one sentence when it cannot be had."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mubench.errors import UsageError

# What the libraries raise when the hub cannot be reached, or has or makes no such thing.
_UNREADABLE = (OSError, ValueError, KeyError, RuntimeError)


@contextmanager
def reaching(what: str, advice: str) -> Iterator[None]:
    """UsageError "cannot load <what> (offline?). Download it elsewhere <advice>." if loading fails."""
    from huggingface_hub.utils import logging

    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()  # it announces each of its retries with an address
    try:
        yield
    except _UNREADABLE as error:
        raise UsageError(f"cannot load {what} (offline?). Download it elsewhere {advice}.") from error
    finally:
        logging.set_verbosity(verbosity)
