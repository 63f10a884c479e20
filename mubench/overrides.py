"""Typed overrides by Hydra's grammar: read, spelt out, spread over the cells of a sweep."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatch
from functools import lru_cache
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override
from hydra.errors import HydraException

from mubench import catalog
from mubench.errors import UsageError


def parse(typed: Sequence[str]) -> list[Override]:
    """Overrides by Hydra's grammar; UsageError for what is not `key=value`."""
    try:
        return [_parsed(text) for text in typed]
    except HydraException as error:
        wrong = next((text for text in typed if "=" not in text and text[:1] != "~"), None)
        if wrong is not None:
            raise UsageError(f"'{wrong}' is not of the form key=value.") from error
        raise mistake(error) from error


@lru_cache(maxsize=4096)
def _parsed(text: str) -> Override:
    """One override; cells of a sweep have most of theirs in common."""
    parser = OverridesParser.create()
    (found,) = parser.parse_overrides([text])
    return found


def mistake(error: Exception) -> UsageError:
    """What Hydra or OmegaConf refuses, in one sentence."""
    return UsageError(" ".join(str(error).split("\n")[0].split()))


def text_of(override: Override) -> str:
    """An override as it was typed."""
    return override.input_line or ""


def is_launching(override: Override) -> bool:
    """Whether an override is about how runs are launched: no part of any run."""
    return re.match(r"hydra[./]", override.key_or_group) is not None


def split(overrides: Sequence[Override]) -> list[list[str]]:
    """The product of all lists, as Hydra's own sweeper makes it."""
    batches = BasicSweeper.split_arguments(list(overrides), max_batch_size=None)
    return [list(cell) for batch in batches for cell in batch]


def refuse_lists(parsed: Sequence[Override]) -> None:
    """UsageError for several values where there is one run."""
    for override in parsed:
        if override.is_sweep_override():
            raise UsageError(f"{override.input_line} lists several values: add -m for a sweep.")


def spelt(override: Override, dirs: Sequence[Path]) -> str:
    """The override of a group, its globs written out; UsageError for a choice that is not in the catalog."""
    if override.is_delete():
        return _left_out(override)
    group = override.key_or_group
    value: Any = override.value()
    known = catalog.names(group.split("@")[0], dirs)
    if isinstance(value, Glob):
        picked = [name for name in known if _globbed(name, value)]
        if not picked:
            raise UsageError(f"{override.input_line}: no {group} has such a name")
        return f"{group}={','.join(picked)}"
    for name in _choices(override):
        if name is not None:
            catalog.path_of(group.split("@")[0], str(name), dirs)
    return text_of(override)


def _left_out(override: Override) -> str:
    """The override that takes a group away; UsageError for one that a recipe is named by."""
    group = override.key_or_group
    if group in ("method", "modality"):
        raise UsageError(f"no {group} is chosen (mubench ls {catalog.plural(group)})")
    return text_of(override)


def _globbed(name: str, glob: Glob) -> bool:
    chosen = any(fnmatch(name, pattern) for pattern in glob.include)
    return chosen and not any(fnmatch(name, pattern) for pattern in glob.exclude)


def _choices(override: Override) -> list[Any]:
    if override.is_sweep_override():
        return [text.strip("'\"") for text in override.sweep_string_iterator()]
    value = override.value()
    return value if isinstance(value, list) else [value]
