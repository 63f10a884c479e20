"""Networks as a config describes them: their start, their fresh selves, saved as safetensors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from hydra.utils import get_method
from safetensors.torch import load_model, save_model
from torch import nn

from mubench import processes
from mubench.data import Dataset
from mubench.errors import UsageError
from mubench.files import write_atomically
from mubench.modalities.base import Modality


def teacher_seed(seed: int) -> int:
    """The seed of an incompetent teacher: with equal seeds it must not be the original's start."""
    return seed + 1_000_003


def reference_seed(seed: int) -> int:
    """The seed of the network that `zrf` compares with: neither the original's start nor a teacher."""
    return seed + 2_000_003


def shadow_seed(seed: int, number: int) -> int:
    """The training seed of a shadow model (from 0): never seed.train itself, whatever their total is.

    Two training seeds share shadow models only where they differ by a multiple of 4,000,037.
    """
    return seed + 4_000_037 * (number + 1)


def own_seed(seed: int) -> int:
    """The seed of a process's own draws in a training, as of dropout: the main one's is the seed itself."""
    return seed + 5_000_011 * processes.rank()


@contextmanager
def seeded(seed: int, device: torch.device | None = None) -> Iterator[None]:
    """Torch's global generators set to a seed inside, as they were outside."""
    devices = [device] if device is not None and device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


@dataclass(frozen=True)
class ModelSpec:
    """Everything that decides a network but its weights."""

    build: Mapping[str, Any]  # `_target_` and its keyword arguments
    classes: int
    shape: Mapping[str, int]  # of the input: keyword arguments of the builder
    input: Any  # what the modality's `prepare` does for this network
    checkpoint: str | None = None

    def start(self, seed: int) -> nn.Module:
        """The starting weights of a training: the checkpoint's, with a fresh head, or fresh ones."""
        return self._build(seed, self.checkpoint)

    def fresh(self, seed: int) -> nn.Module:
        """The same architecture with every parameter freshly initialised."""
        return self._build(seed, None)

    def published(self, checkpoint: str) -> nn.Module:
        """A model of this task that others trained, head and all; UsageError if it does not fit."""
        takes = signature(get_method(self.build["_target_"])).parameters
        if self.checkpoint is None or "whole" not in takes:
            raise UsageError(f"original={checkpoint}: this model is built here, published weights do not fit")
        return self._build(0, checkpoint, whole=True)

    def _build(self, seed: int, checkpoint: str | None, **more: Any) -> nn.Module:
        settings = {name: value for name, value in self.build.items() if name != "_target_"} | more
        if self.checkpoint is not None:
            settings |= {"architecture": self.checkpoint, "checkpoint": checkpoint}
        with seeded(seed):
            build = get_method(self.build["_target_"])
            model: nn.Module = build(classes=self.classes, **self.shape, **settings)
        return model


def describe(node: Mapping[str, Any], data: Dataset, modality: Modality) -> ModelSpec:
    """The network that a config's model node asks for, on this data."""
    checkpoint, target = node.get("checkpoint"), node["build"]["_target_"]
    if checkpoint and "checkpoint" not in signature(get_method(target)).parameters:
        raise UsageError(
            f"model '{node.get('name')}' starts from random weights and takes no checkpoint; "
            "choose a model that has one (mubench ls models)"
        )
    expected = modality.expects(node, data.facts)
    shape = modality.shape(expected)
    return ModelSpec(node["build"], len(data.classes), shape, expected, checkpoint)


def save(model: nn.Module, path: Path) -> None:
    """All weights and buffers, atomically."""
    write_atomically(path, lambda temporary: save_model(model, str(temporary)))


def load(model: nn.Module, path: Path) -> nn.Module:
    """Fill a network of the same architecture with saved weights."""
    load_model(model, str(path), strict=True)
    return model
