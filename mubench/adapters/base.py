"""What a run may ask of an adapter, and the adapter that adds nothing."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from torch import nn

from mubench import models
from mubench.progress import Reporter


@dataclass
class Adapter(ABC):
    """A way to let a trained model move."""

    name: str = ""

    source: ClassVar[tuple[str, ...]] = ()  # keys of methods/sources.bib
    formula: ClassVar[str] = ""  # what is computed, in plain text

    def check(self, build: Callable[[], nn.Module], classes: int) -> None:  # noqa: B027
        """UsageError for settings that the network cannot take, before anything is trained."""

    @abstractmethod
    def attach(self, model: nn.Module, classes: int, seed: int, reporter: Reporter) -> nn.Module:
        """The model that methods see, its trainable weights marked; new ones are drawn by the seed.

        `classes` is the size of the head's output, 0 where the model gives no classes.
        """

    def added(self, model: nn.Module) -> frozenset[str]:
        """Names of the weights that stand beside the model's own; none where its own move."""
        return frozenset()

    @abstractmethod
    def merged(self, model: nn.Module) -> nn.Module:
        """A copy of the network without the adapter that computes what the model does."""

    @abstractmethod
    def save(self, model: nn.Module, folder: Path) -> None:
        """What has to be kept beside the original to have the unlearned model again, atomically."""

    @abstractmethod
    def load(self, model: nn.Module, folder: Path) -> nn.Module:
        """The unlearned model again, from the original (which changes) and what `save` left."""


@dataclass
class NoAdapter(Adapter):
    """All weights of the model itself move."""

    def attach(self, model: nn.Module, classes: int, seed: int, reporter: Reporter) -> nn.Module:
        """The model as it is."""
        return model

    def merged(self, model: nn.Module) -> nn.Module:
        """A copy of the model."""
        return copy.deepcopy(model)

    def save(self, model: nn.Module, folder: Path) -> None:
        """The whole model."""
        models.save(model, folder / "model.safetensors")

    def load(self, model: nn.Module, folder: Path) -> nn.Module:
        """All weights replaced."""
        return models.load(model, folder / "model.safetensors")
