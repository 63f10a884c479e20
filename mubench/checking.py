"""A composed config checked: what its nodes name exists, values have their types, modalities agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mubench import catalog
from mubench.config import PLACES, RunConfig
from mubench.errors import UsageError
from mubench.fingerprint import folder_hash
from mubench.schema import Settings
from mubench.typed import Known, component, merged, named, part, sentence

# Nodes that name what was chosen.
NAMED = (
    "task", "modality", "model", "deletion", "method", "adapter", "curriculum", "optimizer", "tracking",
)  # fmt: skip
if not OmegaConf.has_resolver("mul"):
    OmegaConf.register_new_resolver("mul", lambda a, b: float(f"{float(a) * float(b):.6g}"))


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
        raise UsageError(sentence(error)) from error
    return found


def check_plain(
    resolved: dict[str, Any], overrides: Sequence[str], dirs: Sequence[Path], known: Known | None = None
) -> RunConfig:
    """As `check`, of a config that is resolved already."""
    known = Known() if known is None else known
    try:
        for name, value in resolved.items():
            merged(name, {name: value}, known)
    except OmegaConfBaseException as error:
        raise UsageError(sentence(error)) from error
    for group in NAMED:
        named(resolved.get(group), group)
    _same_modality(resolved, dirs)
    parts = {name: part(name, resolved, known) for name in Settings.__dataclass_fields__}
    settings = Settings(**{name: value for name, (value, _) in parts.items()})
    # What a search would try is no part of this run.
    typed = {name: plain for name, (_, plain) in parts.items() if name != "search"}
    return RunConfig(settings, typed, tuple(overrides), _identities(typed, known))


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
