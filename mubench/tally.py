"""Operations of work that is no training: importance of weights, scores of sets, noise that is learned."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import nn

from mubench.data import Batch
from mubench.effort import Effort, flop_counter
from mubench.engine import Engine
from mubench.modalities.base import Modality


class Tally:
    """Counts such work on a model into an effort.

    Under torch's counter a model's operations round differently. So the work itself goes uncounted: the
    first example of a batch goes through once more, for each kind of work and each shape of batch.
    """

    def __init__(self, effort: Effort, engine: Engine, modality: Modality, model: nn.Module) -> None:
        self._effort, self._engine, self._modality, self._model = effort, engine, modality, model
        self._known: dict[tuple[Any, ...], float] = {}

    def scores(self, batch: Batch, times: int = 1) -> None:
        """Count so many forwards of a prepared batch."""
        self.add("scores", batch, self._scored, times)

    def gradient(self, batch: Batch, times: int = 1) -> None:
        """Count so many forwards and backwards of a prepared batch under the task's loss."""
        self.add("gradient", batch, self._differentiated, times)

    def through(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """The prepared batches; each is counted once through `gradient`."""
        for batch in batches:
            self.gradient(batch)
            yield batch

    def add(self, kind: str, batch: Batch, work: Callable[[Batch], object], times: int = 1) -> None:
        """Count a prepared batch so many times through `work`, which must leave no trace on one row."""
        if not self._engine.counts or self._engine.settings.compile:
            self._effort.add(Effort(flops=None))
            return
        batch = self._modality.trimmed(batch)
        shapes = [tuple(values.shape[1:]) for values in (*batch.inputs.values(), batch.targets)]
        key = (kind, *shapes)
        if key not in self._known:
            row = Batch({k: v[:1] for k, v in batch.inputs.items()}, batch.targets[:1], batch.index[:1])
            with flop_counter() as counter, self._engine.autocast():
                work(row)
            self._known[key] = counter.get_total_flops()
        self._effort.add(Effort(flops=self._known[key] * len(batch) * times))

    @torch.no_grad()
    def _scored(self, row: Batch) -> None:
        self._modality.scores(self._model, row)

    @torch.enable_grad()  # per-example gradients are also asked for where none else is recorded
    def _differentiated(self, row: Batch) -> None:
        weights = [weight for weight in self._model.parameters() if weight.requires_grad]
        kept = [weight.grad for weight in weights]
        for weight in weights:
            weight.grad = None
        loss = self._modality.losses(self._modality.scores(self._model, row), row.targets).sum()
        loss.backward()  # unlike autograd.grad, torch can count its operations
        for weight, gradient in zip(weights, kept, strict=True):
            weight.grad = gradient
