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

from mubench.errors import UsageError
from mubench.schema import Settings

# Raised when a change of the code changes results, so that old records are not taken for new ones.
NUMERICS = 1
# What cannot change the numbers: where things lie, how they are watched, which machine does the work.
_IRRELEVANT = (
    "out", "force", "save_model", "task.source", "trainer.device", "trainer.threads",
    "trainer.residency", "trainer.checkpoint_minutes",
)  # fmt: skip
# What the original and the retrained model depend on.
_SHARED = ("task", "modality", "model", "training", "trainer")

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
        return _digest({**_without(self.resolved, _IRRELEVANT), **self.identities})

    def model_fingerprint(self, role: str) -> str:
        """Hash of what the original, or the model retrained on this forget set, depends on."""
        relevant = _without(self.resolved, _IRRELEVANT)
        parts: dict[str, Any] = {name: relevant[name] for name in _SHARED}
        parts["seed"] = {"train": self.settings.seed.train}
        if role != "original":
            parts["deletion"] = relevant["deletion"]
            parts["seed"] |= {"forget": self.settings.seed.forget}
        return _digest({**parts, **self.identities, "role": role})

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
    text = json.dumps({**content, "numerics": NUMERICS}, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


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


def check(composed: DictConfig, overrides: Sequence[str]) -> RunConfig:
    """Resolve and type-check a composed config; UsageError with one sentence for a wrong value."""
    try:
        resolved = OmegaConf.to_container(composed, resolve=True)
        settings = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(Settings), resolved))
    except OmegaConfBaseException as error:
        raise UsageError(_sentence(error)) from error
    assert isinstance(settings, Settings) and isinstance(resolved, dict)
    plain: dict[str, Any] = {str(name): value for name, value in resolved.items()}
    _same_modality(plain)
    return RunConfig(settings, plain, tuple(overrides), _identities(plain))


def component(node: Mapping[str, Any], group: str) -> Any:
    """Build what a node's `_target_` names; a dataclass has its settings type-checked first."""
    from hydra.utils import get_class

    settings = {name: value for name, value in node.items() if name != "_target_"}
    try:
        target = get_class(node["_target_"])
    except Exception as error:
        raise UsageError(f"{group} '{node.get('name')}': cannot import {node['_target_']}") from error
    try:
        return OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(target), settings))
    except OmegaConfBaseException as error:
        raise UsageError(f"{group}.{_sentence(error)}") from error


def settings_of(target: type) -> list[str]:
    """The names of a component's settings."""
    return [item.name for item in fields(target) if item.init]


def _sentence(error: OmegaConfBaseException) -> str:
    first = str(error.msg or error).splitlines()[0].rstrip(".")
    name = error.full_key or ""
    return f"{name}: {first[0].lower()}{first[1:]}" if name else first


def _same_modality(resolved: dict[str, Any]) -> None:
    task, model = resolved["task"], resolved["model"]
    if model["modality"] != task["modality"]:
        raise UsageError(
            f"model '{model['name']}' reads {model['modality']}, task '{task['name']}' gives "
            f"{task['modality']}."
        )


def _identities(resolved: dict[str, Any]) -> dict[str, str]:
    """What stands for the contents behind the paths that a config names."""
    from mubench.fingerprint import folder_hash

    task = component(resolved["task"], "task")
    found = {"data": task.identity()}
    for name, path in (("weights", resolved["model"].get("checkpoint")),
                       ("list", resolved["deletion"].get("path"))):  # fmt: skip
        if path and Path(path).exists():
            found[name] = folder_hash(path)
    return found
