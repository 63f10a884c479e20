"""What methods have in common that set weights at once: no optimizer, no passes, no learning rate."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from mubench.errors import Diverged
from mubench.gradients import size
from mubench.methods.base import Method
from mubench.run import Run


@dataclass
class OneShot(Method):
    """Works out new values of weights from the original's, and puts them in place."""

    trains: ClassVar[bool] = False
    whole: ClassVar[bool] = True

    def edited(self, run: Run) -> Iterator[tuple[str, Tensor]]:
        """Weights by name with their new values, one after another: each is put in place when it is there."""
        raise NotImplementedError

    def unlearn(self, run: Run) -> None:
        """Edit the weights; nothing is drawn from the recipe."""
        for name, values in self.edited(run):
            put(run, name, values)


@torch.no_grad()
def put(run: Run, name: str, values: Tensor) -> None:
    """New values in the place of a weight's; Diverged where one is not finite."""
    if not torch.isfinite(values).all():
        raise Diverged(f"unlearn diverged: {name} is not finite after the step")
    run.effort.begin(run.engine.synchronise)
    run.weights[name].copy_(values)


@torch.no_grad()
def length(values: Mapping[str, Tensor]) -> float:
    """The Euclidean length of all values together."""
    return math.sqrt(sum(float(value.double().square().sum()) for value in values.values()))


def told(
    run: Run, title: str, total: int, parts: Iterable[Mapping[str, Tensor]]
) -> Iterator[Mapping[str, Tensor]]:
    """Parts of per-example gradients as they come, their progress shown; `total` examples in all."""
    with run.reporter.stage(title, total) as stage:
        for part in parts:
            yield part
            stage.advance(size(part), size(part))
