"""From what was typed to one checked config: names, keys, types; its fingerprint and directory."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mubench import catalog
from mubench.errors import UsageError
from mubench.schema import Settings

# Raised when a change of the code changes results, so that old records are not taken for new ones.
NUMERICS = 1
# What cannot change the numbers: where things lie, how they are watched, which machine does the work.
_IRRELEVANT = (
    "out", "force", "save_model", "task.source", "trainer.device", "trainer.threads",
    "trainer.residency", "trainer.checkpoint_minutes",
)  # fmt: skip
# Paths whose contents enter the fingerprint in their place, wherever they lie.
_PLACES = {"weights": "model.checkpoint", "list": "deletion.path"}
# What the original and the retrained model depend on.
_SHARED = ("task", "modality", "model", "training", "trainer")

# Nodes that name what was chosen, and those among them whose class declares their settings.
NAMED = ("task", "modality", "model", "deletion", "method", "optimizer")
COMPONENTS = ("task", "modality", "deletion", "method")

if not OmegaConf.has_resolver("mul"):
    OmegaConf.register_new_resolver("mul", lambda a, b: float(f"{float(a) * float(b):.6g}"))


@dataclass(frozen=True)
class RunConfig:
    """One run's composed config, resolved and checked."""

    settings: Settings
    resolved: dict[str, Any]
    overrides: tuple[str, ...] = ()
    identities: Mapping[str, str] = field(default_factory=dict)  # of the data, lists and weights read

    @property
    def out(self) -> Path:
        """The outputs folder."""
        return Path(self.settings.out)

    @cached_property
    def fingerprint(self) -> str:
        """Hash (hex) of everything that can change this run's numbers."""
        return _digest({**self._relevant, "identities": dict(self.identities)})

    @cached_property
    def _relevant(self) -> dict[str, Any]:
        """The config without what cannot change the numbers, and without paths known by their contents."""
        known = [path for name, path in _PLACES.items() if name in self.identities]
        return _without(self.resolved, [*_IRRELEVANT, *known])

    def model_fingerprint(self, role: str) -> str:
        """Hash of what the original, or the model retrained on this forget set, depends on."""
        parts: dict[str, Any] = {name: self._relevant[name] for name in _SHARED}
        parts["seed"] = {"train": self.settings.seed.train}
        identities = dict(self.identities)
        if role == "original":
            identities.pop("list", None)
        else:
            parts["deletion"] = self._relevant["deletion"]
            parts["seed"] |= {"forget": self.settings.seed.forget}
        return _digest({**parts, "identities": identities, "role": role})

    @cached_property
    def key(self) -> dict[str, Any]:
        """What the run is: the columns that records are grouped and shown by."""
        at = self.resolved
        return {
            "task": at["task"]["name"],
            "modality": at["modality"]["name"],
            "model": at["model"]["name"],
            "method": at["method"]["name"],
            "deletion": at["deletion"]["name"],
            "ratio": at["deletion"].get("ratio"),
            "adapter": "none",
            "curriculum": "none",
            "optimizer": at["unlearning"]["optimizer"]["name"],
            "seed": dict(at["seed"]),
        }

    @property
    def run_dir(self) -> Path:
        """Where this run leaves its record."""
        key, seed = self.key, self.settings.seed
        deleted = key["deletion"] if key["ratio"] is None else f"{key['deletion']}-{key['ratio']:g}"
        leaf = f"seed{seed.unlearn}-{self.fingerprint[:8]}"
        return self.out.joinpath("runs", key["task"], key["model"], key["method"], deleted, leaf)

    def model_dir(self, role: str) -> Path:
        """Where the shared original or retrained model of this run lies."""
        leaf = f"seed{self.settings.seed.train}-{self.model_fingerprint(role)[:8]}"
        return self.out.joinpath("models", self.key["task"], self.key["model"], role, leaf)


def _digest(content: Mapping[str, Any]) -> str:
    text = json.dumps(_plain({**content, "numerics": NUMERICS}), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(value: Any) -> Any:
    """The same tree with 1.0 written as 1: settings without a declared type may hold either."""
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _without(tree: dict[str, Any], paths: Sequence[str]) -> dict[str, Any]:
    """A copy of a nested dict without the dotted paths."""
    copy: dict[str, Any] = json.loads(json.dumps(tree))
    for path in paths:
        *parents, leaf = path.split(".")
        node = copy
        for parent in parents:
            node = node.get(parent, {})
        node.pop(leaf, None)
    return copy


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
    for part in ("training", "unlearning"):
        _value(merged[part], f"{part}.")
    settings, plain = _value(merged, ""), OmegaConf.to_container(merged)
    assert isinstance(settings, Settings) and isinstance(plain, dict)
    typed: dict[str, Any] = {str(name): value for name, value in plain.items()}
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


def settings_of(target: type) -> list[str]:
    """The names of a component's settings."""
    return [item.name for item in fields(target) if item.init]


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
    for name, place in _PLACES.items():
        group, leaf = place.split(".")
        path = resolved[group].get(leaf)
        if path and Path(path).exists():
            found[name] = folder_hash(path)
    return found
