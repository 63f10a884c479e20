"""A composed config checked: what its nodes name exists, values have their types, modalities agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mubench import catalog
from mubench.config import PLACES, RunConfig
from mubench.errors import UsageError
from mubench.schema import Settings

# Nodes that name what was chosen, and those among them whose class declares their settings.
NAMED = (
    "task", "modality", "model", "deletion", "method", "adapter", "curriculum", "optimizer", "tracking",
)  # fmt: skip
COMPONENTS = ("task", "modality", "deletion", "method", "adapter", "curriculum", "tracking")


def check(composed: DictConfig, overrides: Sequence[str], dirs: Sequence[Path] = ()) -> RunConfig:
    """Resolve and type-check a composed config; UsageError with one sentence for a wrong value.

    `dirs` are the config folders, for the names that a sentence recommends.
    """
    try:
        resolved = OmegaConf.to_container(composed, resolve=True)
        assert isinstance(resolved, dict)
        merged = OmegaConf.merge(OmegaConf.structured(Settings), resolved)
        assert isinstance(merged, DictConfig)
    except OmegaConfBaseException as error:
        raise UsageError(_sentence(error)) from error
    for group in NAMED:
        _named(resolved.get(group), group)
    _same_modality(resolved, dirs)
    for group in COMPONENTS:
        merged[group] = {**_typed(resolved[group], group), "_target_": resolved[group]["_target_"]}
    for name, node in list(merged.evaluation.attacks.items()):
        merged.evaluation.attacks[name] = _attack(node, f"evaluation.attacks.{name}")
    for part in ("training", "unlearning"):
        _value(merged[part], f"{part}.")
    settings, plain = _value(merged, ""), OmegaConf.to_container(merged)
    assert isinstance(settings, Settings) and isinstance(plain, dict)
    # What a search would try is no part of this run.
    typed: dict[str, Any] = {str(name): value for name, value in plain.items() if name != "search"}
    return RunConfig(settings, typed, tuple(overrides), _identities(typed))


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
    found: dict[str, bool] = {}
    for name in catalog.names("model", dirs):
        node = OmegaConf.load(catalog.path_of("model", name, dirs))
        reads = OmegaConf.select(node, "model.modality") or OmegaConf.select(node, "modality")
        if reads == modality:
            found[name] = OmegaConf.select(node, "model.checkpoint") is not None
    return sorted(found, key=lambda name: found[name])


def _identities(resolved: dict[str, Any]) -> dict[str, str]:
    """What stands for the contents behind the paths that a config names."""
    from mubench.fingerprint import folder_hash

    found = {"data": component(resolved["task"], "task").identity()}
    tree = OmegaConf.create(resolved)
    for name, place in PLACES.items():
        path = OmegaConf.select(tree, place)
        if path and Path(path).exists():
            found[name] = folder_hash(path)
    return found
