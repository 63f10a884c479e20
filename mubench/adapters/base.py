"""What a run may ask of an adapter, and the adapter that adds nothing."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from mubench import models


@dataclass
class Adapter(ABC):
    """A way to let a trained model move."""

    name: str = ""

    @abstractmethod
    def attach(self, model: nn.Module, seed: int) -> nn.Module:
        """The model that methods see, its trainable weights marked; new ones are drawn by the seed."""

    @abstractmethod
    def save(self, model: nn.Module, folder: Path) -> None:
        """What has to be kept beside the original to have the unlearned model again, atomically."""


@dataclass
class NoAdapter(Adapter):
    """All weights of the model itself move."""

    def attach(self, model: nn.Module, seed: int) -> nn.Module:
        """The model as it is."""
        return model

    def save(self, model: nn.Module, folder: Path) -> None:
        """The whole model."""
        models.save(model, folder / "model.safetensors")
