"""Flags and overrides told apart."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mubench import catalog
from mubench.errors import UsageError, did_you_mean


@dataclass
class Arguments:
    """What was typed after the verb."""

    flags: set[str] = field(default_factory=set)
    options: dict[str, str] = field(default_factory=dict)
    words: list[str] = field(default_factory=list)  # names, or key=value
    config_dirs: list[str] = field(default_factory=list)

    @property
    def dirs(self) -> list[Path]:
        """Where configs are looked for; a user's folders also become importable."""
        found = catalog.config_dirs(self.config_dirs)
        mine = [str(folder) for folder in found[: len(self.config_dirs)]]
        sys.path += [folder for folder in mine if folder not in sys.path]
        return found


def read(argv: Sequence[str], flags: Mapping[str, str], options: Sequence[str] = ()) -> Arguments:
    """Split argv; `flags` maps each spelling to a name, `options` take a value, --config-dir always."""
    found, rest = Arguments(), list(argv)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.partition("=")
        if not word.startswith("-"):
            found.words.append(word)
        elif word in flags:
            found.flags.add(flags[word])
        elif name in (*options, "--config-dir"):
            if not equals and not rest:
                raise UsageError(f"{name} needs a value.")
            value = value if equals else rest.pop(0)
            if name == "--config-dir":
                found.config_dirs.append(value)
            else:
                found.options[name.lstrip("-")] = value
        else:
            known = [*flags, *options, "--config-dir"]
            raise UsageError(f"unknown option '{name}'.{did_you_mean(name, known)}")
    return found


def out_of(words: Sequence[str]) -> tuple[Path, list[str]]:
    """The outputs folder from `out=PATH` among the words, and the other words."""
    out = [word.removeprefix("out=") for word in words if word.startswith("out=")]
    return Path(out[-1] if out else "outputs"), [w for w in words if not w.startswith("out=")]


def listed(value: str) -> list[str]:
    """The names in `[a,b]` or `a,b`."""
    return [name.strip() for name in value.strip("[]").split(",")]
