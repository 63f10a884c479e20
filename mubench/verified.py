"""Which methods passed `mubench verify` as they are now: results named by hashes of code and settings."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import mubench
from mubench.files import Corrupt, read_json, sha256_of_file, write_json

SCHEMA = 1
PACKAGE = Path(__file__).parent


def sources_of(files: Iterable[Path]) -> dict[str, str]:
    """SHA-256 of source files, by path: within the package from there, elsewhere in full."""
    found = {}
    for path in sorted(files):
        inside = path.is_relative_to(PACKAGE)
        found[path.relative_to(PACKAGE).as_posix() if inside else str(path)] = sha256_of_file(path)
    return found


def store(
    out: Path, settings: Mapping[str, Any], files: Iterable[Path], results: Mapping[str, Mapping[str, Any]]
) -> Path:
    """Write what was found on each task beside what is known of the same code and settings; the file."""
    method = str(settings["name"])
    subject = {
        "schema": SCHEMA,
        "method": method,
        "settings": dict(settings),
        "sources": sources_of(files),
        "mubench": mubench.__version__,
    }
    digest = hashlib.sha256(json.dumps(subject, sort_keys=True).encode()).hexdigest()
    path = out / "verified" / f"{method}-{digest[:8]}.json"
    known = _known(path)
    write_json(path, {**subject, "tasks": {**known, **results}})
    return path


def _known(path: Path) -> dict[str, Any]:
    """What an earlier check of the same code and settings found, by task."""
    try:
        known: dict[str, Any] = read_json(path)["tasks"] if path.is_file() else {}
    except (Corrupt, KeyError):
        return {}
    return known


def proven(out: Path) -> list[dict[str, Any]]:
    """Settings of the methods that passed every check, their code still being what was checked."""
    found = []
    for path in sorted((out / "verified").rglob("*.json")):
        try:
            content = read_json(path)
        except Corrupt:
            continue
        tasks = content.get("tasks", {})
        if _is_current(content) and tasks and all(part.get("passed") is True for part in tasks.values()):
            found.append(content["settings"])
    return found


def _is_current(content: Mapping[str, Any]) -> bool:
    """Whether the version and every source file are those that were checked."""
    if content.get("schema") != SCHEMA or content.get("mubench") != mubench.__version__:
        return False
    sources = {PACKAGE / name: digest for name, digest in content.get("sources", {}).items()}
    return all(path.is_file() and sha256_of_file(path) == digest for path, digest in sources.items())
