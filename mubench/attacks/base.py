"""What an attack on the forgetting is, and the model that it is made on."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from torch import nn

from mubench import evaluation, evidence
from mubench.errors import UsageError
from mubench.metrics.base import Curves
from mubench.schema import within
from mubench.scoring import Values
from mubench.workbench import Workbench

Columns = dict[str, list[float | None]]
SPLITS = ("forget", "retain", "test")


@dataclass(frozen=True)
class Target:
    """A model under attack, without an adapter, and the other models that an attack may compare it with.

    The networks are in evaluation mode and stay as they are: what an attack spoils is a copy.
    """

    bench: Workbench
    role: str  # unlearned | retrained | original
    network: nn.Module
    others: Mapping[str, nn.Module]  # original; retrained, where there is one

    @property
    def seed(self) -> int:
        """seed.eval, from which every draw of an attack comes."""
        return self.bench.config.settings.seed.eval

    def copy(self) -> nn.Module:
        """A network of one's own."""
        return copy.deepcopy(self.network)

    def rows(self, split: str, most: int) -> np.ndarray:
        """The rows of a split that evaluation scores, at most so many: a sample that the seed fixes."""
        return self.sample(evaluation.rows_of(self.bench)[split], most)

    def sample(self, rows: np.ndarray, most: int) -> np.ndarray:
        """At most so many of the rows, in their order; the seed fixes which."""
        some: np.ndarray = rows[evidence.sample(len(rows), most, self.seed)]
        return some


@dataclass
class Attack(ABC):
    """Something that is done to a model, and what is measured along the way.

    Its name is the key under `evaluation.attacks` that metrics ask for.
    """

    name: str = ""
    examples: int = 500  # most examples of a split that are looked at, at each point

    source: ClassVar[tuple[str, ...]] = ()  # keys of methods/sources.bib
    formula: ClassVar[str] = ""  # what is done, in plain text

    def __post_init__(self) -> None:
        within("examples", self.examples, 1, 1e9)

    @abstractmethod
    def curves(self, target: Target) -> Curves:
        """Columns by series: numbers by point, all of one length; a sentence where a series has none."""

    def measure(self, target: Target, network: nn.Module) -> Values:
        """The split metrics of a network on samples of D_f, D_r and the test set."""
        rows = {split: target.rows(split, self.examples) for split in SPLITS}
        return evaluation.measure(target.bench, network, rows)


def several(name: str, values: Sequence[object]) -> None:
    """UsageError for an empty list."""
    if not values:
        raise UsageError(f"{name}=[] names none")


def columns(points: Sequence[Mapping[str, float | None]]) -> Columns:
    """Points as columns by name; a number that some point lacks is None there."""
    names = dict.fromkeys(name for point in points for name in point)
    return {name: [point.get(name) for point in points] for name in names}
