"""Typed overrides held against a config: each key is there, each value like the default in its place."""

from __future__ import annotations

import json
from typing import Any

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, ListConfig, OmegaConf

from mubench.errors import UsageError, did_you_mean, nearest

# A default's type, the types that may take its place, and their name.
_KINDS: tuple[tuple[type, Any, str], ...] = (
    (bool, bool, "true or false"),
    (int, int, "a whole number"),
    (float, int | float, "a number"),
    (str, str, "text"),
    (ListConfig, list, "a list"),
    (DictConfig, dict, "a mapping"),
)


def check_key(override: Override, base: DictConfig) -> None:
    """UsageError with the nearest name if a typed key is none of the config's."""
    if override.is_add() or override.is_force_add():
        return
    node, parts = check_path(override, base), override.key_or_group.split(".")
    if parts[0] == "model" or "optimizer" in parts[:-1]:
        check_like(override, node)


def check_path(override: Override, base: DictConfig) -> Any:
    """What stands where an override points; UsageError with the nearest name if there is nothing."""
    node: Any = base
    parts = override.key_or_group.split(".")
    for depth, name in enumerate(parts):
        if not isinstance(node, DictConfig) or name not in node:
            raise UsageError(_unknown(parts[:depth], name, node, base))
        node = OmegaConf.select(base, ".".join(parts[: depth + 1]))
    return node


def check_free(override: Override, base: DictConfig) -> None:
    """The same where mappings may take keys of the user's own: `+a.options.key=value`, one at a time."""
    mapping = override.key_or_group.rpartition(".")[0]
    parent = OmegaConf.select(base, mapping)
    if override.is_add() and isinstance(parent, DictConfig) and "_target_" not in parent:
        return
    node = check_path(override, base)
    if isinstance(node, DictConfig):
        raise UsageError(
            f"{override.key_or_group} takes one key at a time: +{override.key_or_group}.key=value"
        )


def check_like(override: Override, default: Any) -> None:
    """UsageError if a setting whose type no class declares gets another type than its default's."""
    value = override.value()
    if override.is_delete() or value is None or "${" in str(value):
        return
    for kind, accepted, words in _KINDS:
        if isinstance(default, kind):
            if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
                raise UsageError(f"{override.key_or_group} is {words}, such as {default}; not '{value}'")
            return


def _unknown(parents: list[str], name: str, node: Any, base: DictConfig) -> str:
    known = [str(key) for key in node] if isinstance(node, DictConfig) else []
    if not parents:
        return f"unknown setting '{name}'.{did_you_mean(name, known)} (mubench run --help)"
    guess = nearest(name, [key for key in known if key != "_target_"])
    hint = f" Did you mean '{guess}' ({_shown(node[guess])})?" if guess else ""
    group = parents[0]
    chosen = OmegaConf.select(base, f"{group}.name") if len(parents) == 1 else None
    if chosen is None:
        return f"'{'.'.join(parents)}' has no setting '{name}'.{hint}"
    return f"{group} '{chosen}' has no setting '{name}'.{hint} (mubench show {group} {chosen})"


def _shown(value: Any) -> str:
    """A value as yaml and the command line write it."""
    plain = value is None or isinstance(value, bool)
    return json.dumps(value) if plain else str(value)
