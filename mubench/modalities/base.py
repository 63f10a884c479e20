"""What the rest of the house may ask of a modality."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mubench.data import Batch


@dataclass
class Modality(ABC):
    """One kind of input. N examples, B of them in a batch, C classes."""

    name: str = ""
    augment: str = "none"

    @abstractmethod
    def encode(self, examples: Any) -> dict[str, Tensor]:
        """Raw examples as columns (N, ...) in storage types; UsageError names a row that is broken."""

    @abstractmethod
    def facts(self, inputs: dict[str, Tensor]) -> dict[str, Any]:
        """What models must know of the training columns, such as sizes and statistics."""

    @abstractmethod
    def expects(self, model: Mapping[str, Any], facts: Mapping[str, Any]) -> Any:
        """What a model's config node and the data's facts make `prepare` do."""

    @abstractmethod
    def shape(self, expected: Any) -> dict[str, int]:
        """The dimensions of the input, as arguments of a network's builder."""

    @abstractmethod
    def prepare(self, batch: Batch, expected: Any, generator: torch.Generator | None) -> Batch:
        """The batch as the model takes it; augmented if there is a generator of the draws."""

    @abstractmethod
    def logits(self, model: nn.Module, batch: Batch) -> Tensor:
        """The model's scores (B, C) on a prepared batch."""

    @abstractmethod
    def losses(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The task's loss per example, (B,)."""

    @abstractmethod
    def divergence(self, teacher: Tensor, student: Tensor, temperature: float = 1.0) -> Tensor:
        """How far the student's scores are from the teacher's, per example, (B,), at least 0."""

    @abstractmethod
    def relabel(self, targets: Tensor, classes: int, generator: torch.Generator) -> Tensor:
        """A random wrong target for each of the targets (n, ...)."""
