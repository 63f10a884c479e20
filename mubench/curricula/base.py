"""What a run may ask of a curriculum, and the curriculum that treats all examples alike."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from mubench.errors import NotApplicable


@dataclass
class Curriculum(ABC):
    """Makes per-example losses one loss. What it has seen is state, of one training and each term apart."""

    name: str = ""

    source: ClassVar[tuple[str, ...]] = ()  # keys of methods/sources.bib

    def check(self, gives: frozenset[str]) -> None:  # noqa: B027
        """NotApplicable for settings that ask for more than the modality gives (classes, tokens)."""

    def begin(self, classes: int) -> None:  # noqa: B027
        """A training begins: forget what was seen of an earlier one. `classes` is 0 where there are none."""

    @abstractmethod
    def reduce(self, losses: Tensor, term: str) -> Tensor:
        """Per-example losses (B,) of one term of a method's objective to a scalar."""

    def state_dict(self) -> dict[str, Any]:
        """What was seen since the training began, for a checkpoint."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:  # noqa: B027
        """Have seen what a checkpoint says."""


@dataclass
class Uniform(Curriculum):
    """Every example counts the same."""

    def reduce(self, losses: Tensor, term: str) -> Tensor:
        """Their mean."""
        return losses.mean()


def needs_classes(setting: str, gives: frozenset[str]) -> None:
    """NotApplicable unless the modality gives classes."""
    if "classes" not in gives:
        raise NotApplicable(f"{setting} needs classes; this task gives {', '.join(sorted(gives))}")
