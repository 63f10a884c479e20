"""A record as everybody may see it: without the places, names and secrets of its machine."""

from __future__ import annotations

import getpass
import re
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

from mubench.config import PLACES, without
from mubench.records import Record

HIDDEN = "[hidden]"
PRIVATE = ("out", "task.source", "task.ood_source", "tracking")  # places, and who watches
# Names of settings that hold secrets; pad_token and such hold none.
_SECRET = re.compile(
    r"(?:^|_)(?:secret|passw(?:or)?d|api_?key|credentials?)$|^(?:(?:\w+_)?(?:auth|access|hf|api)_?)?token$",
    re.IGNORECASE,
)
# Texts that tell a place or a secret: absolute paths, those of Windows, homes, dotted ways, who@where, keys.
_TOLD = re.compile(
    r"""(?<![\w.:/-])(?:/[\w.~+-]+/|~[\w.-]*/|\.{1,2}/)[\w.~+-]*(?:/[\w.~+-]*)*"""
    r"""|(?<![\w.:/<\[-])/[\w.~+-]+"""  # one name: tags of templates end so too
    r"""|\b[A-Za-z]:[\\/][^\s'"]*|\\\\[^\s'"]+|\bfile:[^\s'"]*"""
    r"""|[\w.+-]+(?::[^\s@/]*)?@[A-Za-z][\w-]+(?:\.[\w-]+)*"""
    r"""|\b(?:hf_|sk-|ghp_|github_pat_|xox[a-z]-)[A-Za-z0-9_-]{16,}"""
)
NAMES = ("name", "_target_")  # settings that name a component
TEXTS = ("data", "environment", "reasons")  # parts of a record that hold sentences


def public(record: Record) -> tuple[dict[str, Any], list[str]]:
    """The content of record.json without what is private, and by dotted name what was taken out or hidden."""
    gone = list(_places(record.config))
    stripped = [f"config.{name}" for name in gone]
    content = asdict(record) | {"config": without(record.config, gone)}
    content["overrides"] = [typed for typed in record.overrides if not _typed(typed, gone)]
    if len(content["overrides"]) < len(record.overrides):
        stripped.append("overrides")
    for part in TEXTS:
        hidden = _hidden(content[part])
        stripped += [part] if hidden != content[part] else []
        content[part] = hidden
    return content, sorted(stripped)


def _places(config: dict[str, Any]) -> Iterator[str]:
    """Dotted names of settings that say where things lie, who watches, or what nobody should see."""
    for name in (*PRIVATE, *PLACES.values()):
        value = _at(config, name)
        if value is not None and not (name in PLACES.values() and _on_the_hub(value)):
            yield name
    for name, value in _leaves(without(config, (*PRIVATE, *PLACES.values())), ""):
        leaf = name.rpartition(".")[2]
        if leaf not in NAMES and (tells(value) or (isinstance(value, str) and _SECRET.search(leaf))):
            yield name


def _on_the_hub(value: Any) -> bool:
    """Whether a checkpoint is a name of the hub and no folder here."""
    shaped = isinstance(value, str) and re.fullmatch(r"[\w-][\w.-]*(/[\w-][\w.-]*)?", value) is not None
    return shaped and not Path(value).exists() and not tells(value)


def _typed(word: str, gone: Sequence[str]) -> bool:
    """Whether what was typed names a setting that was taken out, one below it, or tells."""
    name, _, value = word.lstrip("+~").partition("=")
    below = any(name == one or name.startswith(f"{one}.") for one in gone)
    return below or name in PRIVATE or _SECRET.search(name.rpartition(".")[2]) is not None or tells(value)


def tells(value: Any) -> bool:
    """Whether a setting's value holds a place, a user, a host or a key."""
    if isinstance(value, list):
        return any(tells(item) for item in value)
    if isinstance(value, Mapping):
        return any(tells(item) for item in value.values())
    return isinstance(value, str) and (_TOLD.search(value) is not None or _mine().search(value) is not None)


@cache
def _mine() -> re.Pattern[str]:
    """The names of this user and host as whole words: long ones, a short one is a word of everybody's."""
    found = {socket.gethostname(), socket.gethostname().partition(".")[0], Path.home().name}
    try:
        found.add(getpass.getuser())
    except (KeyError, OSError):  # a container's user without a name
        found.discard("")
    words = [re.escape(name) for name in sorted(found) if len(name) > 4]
    return re.compile(rf"(?<!\w)(?:{'|'.join(words)})(?!\w)" if words else r"(?!)")


def _hidden(value: Any) -> Any:
    return _mapped(value, lambda text: _mine().sub(HIDDEN, _TOLD.sub(HIDDEN, text)))


def _mapped(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, Mapping):
        return {name: _mapped(item, change) for name, item in value.items()}
    if isinstance(value, list):
        return [_mapped(item, change) for item in value]
    return change(value) if isinstance(value, str) else value


def _at(tree: Mapping[str, Any], path: str) -> Any:
    node: Any = tree
    for name in path.split("."):
        node = node.get(name) if isinstance(node, Mapping) else None
    return node


def _leaves(tree: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
