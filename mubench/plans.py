"""Plans of commands, kept below an outputs folder: thousands of cells are composed and checked once.

A plan is kept under a hash of all that decides it: the words typed, the yamls, mubench's code, the packages
installed. Where more than that decides it (files that it reads, classes or resolvers of one's own, several
processes) it is made each time, and so it is where the file is damaged.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

from mubench import catalog, processes
from mubench.config import PLACES, RunConfig
from mubench.errors import NotApplicable, RunFailed
from mubench.files import write_text
from mubench.installed import files_below, identity
from mubench.schema import Settings

HOME = "plans"
MOST = 32  # plans kept in one outputs folder
# What leads to things that are not looked at, in words and in yamls of one's own.
ELSEWHERE_WORDS = ("hydra", "${oc", "${now")
ELSEWHERE_YAMLS = ("hydra/launcher", "searchpath", "${oc", "${now")
KNOWN = ("mubench.", "torch.")  # where a class may come from
FIELDS = tuple(Settings.__dataclass_fields__)


@dataclass
class Plan:
    """What a command will do."""

    multirun: bool
    cells: list[RunConfig]
    refused: list[tuple[RunConfig, NotApplicable]]  # those of a sweep that do not apply


def key_of(words: Sequence[str], multirun: bool, dirs: Sequence[Path]) -> str | None:
    """The hash that a command's plan is kept under; None where more decides it than a hash can tell."""
    packaged = catalog.packaged_dir()
    own = [path for folder in dirs if folder != packaged for path in files_below(folder, ".yaml")]
    texts = [Path(path).read_text(encoding="utf-8") for path in own]
    if processes.launched() > 1 or any(sign in word for sign in ELSEWHERE_WORDS for word in words):
        return None
    if any(sign in text for sign in ELSEWHERE_YAMLS for text in texts):
        return None
    told = [[*words], multirun, [*map(str, dirs)], identity([*files_below(packaged, ".yaml"), *own])]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]


def recall(out: Path, key: str) -> Plan | None:
    """The plan kept under a hash; None where there is none that holds."""
    try:
        content = json.loads((out / HOME / f"{key}.json").read_text(encoding="utf-8"))
        absent = not any(Path(path).exists() for path in content["absent"])
        return _decoded(content) if absent else None
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None


def keep(out: Path, key: str, plan: Plan) -> None:
    """Keep a plan for next time, if all that decides it is in the hash and the outputs folder is there.

    Of many the oldest are forgotten.
    """
    cells = [*plan.cells, *(cell for cell, _ in plan.refused)]
    if not out.is_dir() or not all(cell.out == out and _told(cell) for cell in cells):
        return
    content = _encoded(plan)
    again = _decoded(json.loads(json.dumps(content)))
    if (again.cells, [*map(_named, again.refused)]) != (plan.cells, [*map(_named, plan.refused)]):
        return
    with suppress(RunFailed, OSError):  # a full or closed folder: the plan is made again
        write_text(out / HOME / f"{key}.json", json.dumps(content))
        plans = sorted((out / HOME).glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
        for path in plans[:-MOST]:
            path.unlink(missing_ok=True)


def _named(one: tuple[RunConfig, NotApplicable]) -> tuple[RunConfig, str]:
    return one[0], str(one[1])


def _told(cell: RunConfig) -> bool:
    """Whether a cell reads no files, and its classes come with mubench or torch."""
    local = any(value for name, value in cell.settings.task.items() if name.endswith("source"))
    return not local and set(cell.identities) == {"data"} and all(
        target.startswith(KNOWN) for target in _targets(cell.resolved)
    )  # fmt: skip


def _targets(node: Any) -> Iterator[str]:
    if isinstance(node, Mapping):
        yield from [str(node["_target_"])] if "_target_" in node else []
        for value in node.values():
            yield from _targets(value)


def _paths(cell: RunConfig) -> Iterator[str]:
    """What a cell would read if it were there: repositories of a hub may be folders."""
    for place in PLACES.values():
        node: Any = cell.resolved
        for name in place.split("."):
            node = node.get(name) if isinstance(node, Mapping) else None
        yield from [str(node)] if node else []


def _encoded(plan: Plan) -> dict[str, Any]:
    """Plain data; what cells have in common is told once."""
    numbers: dict[str, int] = {}

    def number(value: Any) -> int:
        return numbers.setdefault(json.dumps(value), len(numbers))

    def told(cell: RunConfig) -> list[Any]:
        plain = {**cell.resolved, "search": cell.settings.search}
        parts = [number(plain[name]) for name in FIELDS]
        return [list(cell.overrides), parts, number(dict(cell.identities)), cell.fingerprint]

    cells = [told(cell) for cell in plan.cells]
    refused = [[told(cell), str(reason)] for cell, reason in plan.refused]
    every = [*plan.cells, *(cell for cell, _ in plan.refused)]
    return {
        "multirun": plan.multirun,
        "cells": cells,
        "refused": refused,
        "parts": [json.loads(text) for text in numbers],
        "absent": sorted({path for cell in every for path in _paths(cell)}),
    }


def _decoded(content: Mapping[str, Any]) -> Plan:
    hints: dict[str, Any] = get_type_hints(Settings)
    typed: dict[str, Any] = {name: kind for name, kind in hints.items() if is_dataclass(kind)}
    parts, objects = content["parts"], {}

    def made(name: str, number: int) -> Any:
        if name in typed and (name, number) not in objects:
            objects[name, number] = typed[name](**parts[number])
        return objects[name, number] if name in typed else parts[number]

    def cell(told: Sequence[Any]) -> RunConfig:
        overrides, numbers, identities, fingerprint = told
        pairs = list(zip(FIELDS, numbers, strict=True))
        settings = Settings(**{name: made(name, number) for name, number in pairs})
        resolved = {name: parts[number] for name, number in pairs if name != "search"}
        found = RunConfig(settings, resolved, tuple(overrides), parts[identities])
        vars(found)["fingerprint"] = fingerprint  # a cached property: of thousands it takes a second
        return found

    refused = [(cell(told), NotApplicable(reason)) for told, reason in content["refused"]]
    return Plan(content["multirun"], [cell(told) for told in content["cells"]], refused)
