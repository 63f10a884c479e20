"""Settings with the types that their classes declare; UsageError with one sentence for a wrong value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy, deepcopy
from dataclasses import make_dataclass
from functools import cache, partial
from typing import Any, get_type_hints

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mubench import catalog
from mubench.errors import UsageError
from mubench.schema import Settings

RECIPES = ("training", "unlearning")
# Those of the settings whose class declares what they have.
COMPONENTS = ("task", "modality", "deletion", "method", "adapter", "curriculum", "tracking")


class Known:
    """What has been worked out for one cell of a sweep and is the same for others."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str, str], Any] = {}

    def part(self, kind: str, name: str, value: Any, find: Callable[[], Any]) -> Any:
        """What `find` gives of a value, found once for equal values."""
        key = (kind, name, repr(value))
        if key not in self._found:
            self._found[key] = find()
        return self._found[key]

    def component(self, node: Mapping[str, Any], group: str) -> Any:
        """A component, built once for equal nodes: to look at, not to work with."""
        return self.part("component", group, node, partial(component, node, group))


def merged(name: str, given: Mapping[str, Any], known: Known) -> DictConfig:
    """One of the settings with the types that it must have."""
    found = known.part("merged", name, given, lambda: OmegaConf.merge(_schema(name), given))
    assert isinstance(found, DictConfig)
    return found


@cache
def _schema(name: str) -> DictConfig:
    """The schema of one of the settings; of all, which refuses it, for a name that there is not.

    Made once: a schema takes longer than what is checked by it.
    """
    declared = Settings.__dataclass_fields__.get(name)
    if declared is None:
        return OmegaConf.structured(Settings)  # type: ignore[no-any-return]
    alone = make_dataclass("Setting", [(name, get_type_hints(Settings)[name], copy(declared))])
    return OmegaConf.structured(alone)  # type: ignore[no-any-return]


def part(name: str, resolved: Mapping[Any, Any], known: Known) -> tuple[Any, Any]:
    """One of the settings, typed: as an object, and as plain data."""
    given = {name: resolved[name]} if name in resolved else {}
    found: tuple[Any, Any] = known.part("typed", name, given, lambda: _typed_part(name, given, known))
    return found


def _typed_part(name: str, given: Mapping[str, Any], known: Known) -> tuple[Any, Any]:
    try:
        found = deepcopy(merged(name, given, known))
        if name in COMPONENTS:
            found[name] = {**_typed(given[name], name), "_target_": given[name]["_target_"]}
        if name == "evaluation":
            for attack, node in list(found.evaluation.attacks.items()):
                found.evaluation.attacks[attack] = _attack(node, f"evaluation.attacks.{attack}")
        value = found[name]
    except OmegaConfBaseException as error:
        raise UsageError(sentence(error)) from error
    if not OmegaConf.is_config(value):
        return value, value
    made, plain = _value(value, f"{name}." if name in RECIPES else ""), OmegaConf.to_container(value)
    return plain if name in COMPONENTS else made, plain


def component(node: Mapping[str, Any], group: str) -> Any:
    """Build what a node's `_target_` names; a dataclass has its settings type-checked first."""
    return _value(_typed(node, group), "")


def _typed(node: Mapping[str, Any], group: str) -> DictConfig:
    """A node's settings with the types that the dataclass named by its `_target_` declares."""
    from hydra.utils import get_class

    settings = {name: value for name, value in node.items() if name != "_target_"}
    try:
        target = get_class(str(node["_target_"]))
    except Exception as error:
        raise UsageError(f"{group} '{node.get('name')}': cannot import {node.get('_target_')}") from error
    try:
        return OmegaConf.merge(OmegaConf.structured(target), settings)  # type: ignore[return-value]
    except OmegaConfBaseException as error:
        raise UsageError(f"{group}.{sentence(error)}") from error


def _attack(node: Any, where: str) -> dict[Any, Any]:
    """An attack's settings, typed; what its class refuses is said with the place."""
    named(node, where)
    settings = _typed(node, where)
    _value(settings, f"{where}.")
    return {**settings, "_target_": node["_target_"]}


def _value(node: Any, prefix: str) -> Any:
    """The object of a typed node; a refusal of its values gets the prefix that locates it."""
    try:
        return OmegaConf.to_object(node)
    except OmegaConfBaseException as error:
        raise UsageError(f"{prefix}{sentence(error)}") from error
    except UsageError as error:
        raise UsageError(f"{prefix}{error}") from error


def named(node: Any, group: str) -> None:
    """UsageError where nothing was chosen, or a yaml from outside forgot what every one needs."""
    if not node:
        raise UsageError(f"no {group} is chosen (mubench ls {catalog.plural(group)})")
    needed = ("name", "modality") if group in ("task", "model") else ("name",)
    needed = (*needed, "_target_") if group != "model" else needed
    for key in needed:
        if not node.get(key):
            raise UsageError(f"{group} '{node.get('name')}': its yaml lacks '{key}'")


def sentence(error: OmegaConfBaseException) -> str:
    """What is wrong with a value, behind its dotted name."""
    first = str(error.msg or error).splitlines()[0].rstrip(".")
    name = error.full_key or ""
    return f"{name}: {first[0].lower()}{first[1:]}" if name else first
