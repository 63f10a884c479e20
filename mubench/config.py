"""One run's checked config: its key, its fingerprint, and where its results lie."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from mubench.schema import Settings

# Raised when a change of the code changes results, so that old records are not taken for new ones.
NUMERICS = 5
# What cannot change the numbers: where things lie, how they are watched, which machine does the work,
# what another run might try.
IRRELEVANT = (
    "out", "force", "save_model", "task.source", "task.ood_source", "trainer.device", "trainer.threads",
    "trainer.residency", "trainer.checkpoint_minutes", "trainer.at_once", "evaluation.name", "tracking",
)  # fmt: skip
# Paths whose contents enter the fingerprint in their place, wherever they lie.
PLACES = {"weights": "model.checkpoint", "list": "deletion.path", "published": "original"}
# What the original and the retrained model depend on.
SHARED = ("task", "modality", "model", "training", "trainer")


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
        """The config, plain, without what cannot change the numbers and paths known by their contents."""
        known = [path for name, path in PLACES.items() if name in self.identities]
        unused = [] if self.settings.evaluation.attacks else ["evaluation.attacks"]
        unused += [] if self.settings.shadows else ["shadows"]
        plain: dict[str, Any] = _plain(without(self.resolved, [*IRRELEVANT, *known, *unused]))
        return plain

    def model_fingerprint(self, role: str, shadow: bool = False) -> str:
        """Hash of what the original, or the model retrained on this forget set, depends on.

        Of shadow models the hash of all of a role: an original that others published has none of its own.
        """
        parts: dict[str, Any] = {name: self._relevant[name] for name in SHARED}
        parts["seed"] = {"train": self.settings.seed.train}
        identities = dict(self.identities)
        if role == "original":
            identities.pop("list", None)
            parts["original"] = None if shadow else self._relevant.get("original")
        if role != "original" or shadow:
            identities.pop("published", None)
        if role != "original":
            parts["deletion"] = self._relevant["deletion"]
            parts["seed"] |= {"forget": self.settings.seed.forget}
        kind = f"{role} shadow" if shadow else role
        return _digest({**parts, "identities": identities, "role": kind})

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
            "adapter": at["adapter"]["name"],
            "curriculum": at["curriculum"]["name"],
            "optimizer": at["unlearning"]["optimizer"]["name"],
            "seed": dict(at["seed"]),
        }

    @cached_property
    def run_dir(self) -> Path:
        """Where this run leaves its record."""
        key, seed = self.key, self.settings.seed
        deleted = key["deletion"] if key["ratio"] is None else f"{key['deletion']}-{key['ratio']:g}"
        leaf = f"seed{seed.unlearn}-{self.fingerprint[:8]}"
        return self.out.joinpath("runs", key["task"], key["model"], key["method"], deleted, leaf)

    def model_dir(self, role: str) -> Path:
        """Where the shared original or retrained model of this run lies."""
        return model_folder(self.out, self.key, role, self.model_fingerprint(role))

    def shadow_dirs(self, role: str) -> list[Path]:
        """Where the shadow models of a role lie: a folder each, the first ones the same for any number."""
        if not self.settings.shadows:
            return []
        folder = shadows_folder(self.out, self.key, role, self.model_fingerprint(role, shadow=True))
        return [folder / f"{number:04}" for number in range(self.settings.shadows)]


def outputs_of(folder: Path, key: Mapping[str, Any]) -> Path:
    """The outputs folder above a run's directory: the way back from `run_dir`."""
    below = Path("runs", key["task"], key["model"], key["method"], "deletion", "leaf")
    return folder.absolute().parents[len(below.parts) - 1]


def models_home(out: Path, key: Mapping[str, Any]) -> Path:
    """Where all shared models of a run's task and network lie; `key` is the run's."""
    return out.joinpath("models", key["task"], key["model"])


def model_folder(out: Path, key: Mapping[str, Any], role: str, fingerprint: str) -> Path:
    """Where the original or retrained model of this fingerprint lies."""
    return models_home(out, key) / role / f"seed{key['seed']['train']}-{fingerprint[:8]}"


def shadows_folder(out: Path, key: Mapping[str, Any], role: str, fingerprint: str) -> Path:
    """Where the shadow models of a role lie, a folder each."""
    return models_home(out, key) / "shadows" / f"{role}-seed{key['seed']['train']}-{fingerprint[:8]}"


def run_lock(run_dir: Path) -> Path:
    """The file that whoever does a run holds."""
    return run_dir / ".lock"


def model_lock(folder: Path) -> Path:
    """The file that whoever trains a shared model holds; the shadow models of a role have one for all."""
    home = folder.parent if folder.parent.parent.name == "shadows" else folder
    return home.with_suffix(".lock")


def _digest(content: Mapping[str, Any]) -> str:
    """Hash (hex) of content that is plain."""
    text = json.dumps({**content, "numerics": NUMERICS}, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(value: Any) -> Any:
    """The same tree with 1.0 written as 1: settings without a declared type may hold either."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def without(tree: dict[str, Any], paths: Sequence[str]) -> dict[str, Any]:
    """A nested dict without the dotted paths; what no path leads into is the tree's own, not copied."""
    found = dict(tree)
    for path in paths:
        root, _, rest = path.partition(".")
        if not rest:
            found.pop(root, None)
        elif isinstance(found.get(root), dict):
            found[root] = without(found[root], [rest])
    return found
