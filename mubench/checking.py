"""A composed config checked: what its nodes name exists, values have their types, modalities agree."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import make_dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, get_type_hints

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mubench import catalog
from mubench.config import PLACES, RunConfig
from mubench.errors import UsageError
from mubench.fingerprint import folder_hash
from mubench.schema import Settings

# Nodes that name what was chosen, and those among them whose class declares their settings.
NAMED = (
    "task", "modality", "model", "deletion", "method", "adapter", "curriculum", "optimizer", "tracking",
)  # fmt: skip
RECIPES = ("training", "unlearning")
if not OmegaConf.has_resolver("mul"):
    OmegaConf.register_new_resolver("mul", lambda a, b: float(f"{float(a) * float(b):.6g}"))
COMPONENTS = ("task", "modality", "deletion", "method", "adapter", "curriculum", "tracking")


def check(
    composed: DictConfig, overrides: Sequence[str], dirs: Sequence[Path] = (), known: Known | None = None
) -> RunConfig:
    """Resolve and type-check a composed config; UsageError with one sentence for a wrong value.

    `dirs` are the config folders, for the names that a sentence recommends. `known` is what was found
    about other cells of a sweep a moment ago: parts of their configs, and what stands for their data.
    """
    return check_plain(resolved(composed, [*map(str, composed)]), overrides, dirs, known)


def resolved(composed: DictConfig, names: Sequence[str]) -> dict[str, Any]:
    """The named nodes of a composed config as plain data; UsageError for an interpolation that fails."""
    found: dict[str, Any] = {}
    try:
        for name in names:
            value = "???" if OmegaConf.is_missing(composed, name) else composed[name]
            found[name] = OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
    except OmegaConfBaseException as error:
        raise UsageError(_sentence(error)) from error
    return found


def check_plain(
    resolved: dict[str, Any], overrides: Sequence[str], dirs: Sequence[Path], known: Known | None = None
) -> RunConfig:
    """As `check`, of a config that is resolved already."""
    known = Known() if known is None else known
    try:
        for name, value in resolved.items():
            _merged(name, {name: value}, known)
    except OmegaConfBaseException as error:
        raise UsageError(_sentence(error)) from error
    for group in NAMED:
        _named(resolved.get(group), group)
    _same_modality(resolved, dirs)
    parts = {name: _part(name, resolved, known) for name in Settings.__dataclass_fields__}
    settings = Settings(**{name: value for name, (value, _) in parts.items()})
    # What a search would try is no part of this run.
    typed = {name: plain for name, (_, plain) in parts.items() if name != "search"}
    return RunConfig(settings, typed, tuple(overrides), _identities(typed, known))


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


def _merged(name: str, given: Mapping[str, Any], known: Known) -> DictConfig:
    """One of the settings with the types that it must have."""
    merged = known.part("merged", name, given, lambda: OmegaConf.merge(_schema(name), given))
    assert isinstance(merged, DictConfig)
    return merged


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


def _part(name: str, resolved: Mapping[Any, Any], known: Known) -> tuple[Any, Any]:
    """One of the settings, typed: as an object, and as plain data."""
    given = {name: resolved[name]} if name in resolved else {}
    found: tuple[Any, Any] = known.part("typed", name, given, lambda: _typed_part(name, given, known))
    return found


def _typed_part(name: str, given: Mapping[str, Any], known: Known) -> tuple[Any, Any]:
    try:
        merged = _merged(name, given, known)
        if name in COMPONENTS:
            merged[name] = {**_typed(given[name], name), "_target_": given[name]["_target_"]}
        if name == "evaluation":
            for attack, node in list(merged.evaluation.attacks.items()):
                merged.evaluation.attacks[attack] = _attack(node, f"evaluation.attacks.{attack}")
        value = merged[name]
    except OmegaConfBaseException as error:
        raise UsageError(_sentence(error)) from error
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
        raise UsageError(f"{group}.{_sentence(error)}") from error


def _attack(node: Any, where: str) -> dict[Any, Any]:
    """An attack's settings, typed; what its class refuses is said with the place."""
    _named(node, where)
    settings = _typed(node, where)
    _value(settings, f"{where}.")
    return {**settings, "_target_": node["_target_"]}


def _value(node: Any, prefix: str) -> Any:
    """The object of a typed node; a refusal of its values gets the prefix that locates it."""
    try:
        return OmegaConf.to_object(node)
    except OmegaConfBaseException as error:
        raise UsageError(f"{prefix}{_sentence(error)}") from error
    except UsageError as error:
        raise UsageError(f"{prefix}{error}") from error


def _named(node: Any, group: str) -> None:
    """UsageError where nothing was chosen, or a yaml from outside forgot what every one needs."""
    if not node:
        raise UsageError(f"no {group} is chosen (mubench ls {catalog.plural(group)})")
    needed = ("name", "modality") if group in ("task", "model") else ("name",)
    needed = (*needed, "_target_") if group != "model" else needed
    for key in needed:
        if not node.get(key):
            raise UsageError(f"{group} '{node.get('name')}': its yaml lacks '{key}'")


def _sentence(error: OmegaConfBaseException) -> str:
    first = str(error.msg or error).splitlines()[0].rstrip(".")
    name = error.full_key or ""
    return f"{name}: {first[0].lower()}{first[1:]}" if name else first


def _same_modality(resolved: dict[Any, Any], dirs: Sequence[Path]) -> None:
    task, model = resolved["task"], resolved["model"]
    wanted = task["modality"]
    if model["modality"] != wanted:
        fitting = models_for(wanted, dirs)
        shown = [*fitting[:6], *(["…"] if len(fitting) > 6 else [])]
        hint = f" Models for {wanted}: {', '.join(shown)} (mubench ls models)" if fitting else ""
        raise UsageError(
            f"model '{model['name']}' reads {model['modality']}, task '{task['name']}' gives {wanted}.{hint}"
        )


def models_for(modality: str, dirs: Sequence[Path]) -> list[str]:
    """The names of the models that read a modality, those that need no download first."""
    names = catalog.names("model", dirs)
    facts = {name: _model_facts(catalog.path_of("model", name, dirs)) for name in names}
    fitting = {name: downloads for name, (reads, downloads) in facts.items() if reads == modality}
    return sorted(fitting, key=lambda name: fitting[name])


@cache
def _model_facts(path: Path) -> tuple[str | None, bool]:
    """The modality that a model's yaml names, and whether the model needs a download."""
    node = OmegaConf.load(path)
    reads = OmegaConf.select(node, "model.modality") or OmegaConf.select(node, "modality")
    return reads, OmegaConf.select(node, "model.checkpoint") is not None


def _identities(resolved: Mapping[str, Any], known: Known) -> dict[str, str]:
    """What stands for the contents behind the paths that a config names."""
    task = resolved["task"]
    found = {"data": known.part("identity", "task", task, lambda: component(task, "task").identity())}
    for name, place in PLACES.items():
        path = _at(resolved, place)
        if path and Path(path).exists():
            found[name] = known.part("identity", name, path, lambda: folder_hash(path))  # noqa: B023
    return found


def _at(tree: Any, place: str) -> Any:
    """What stands at a dotted place; None where there is nothing."""
    for name in place.split("."):
        tree = tree.get(name) if isinstance(tree, Mapping) else None
    return tree
