"""Trainings that differ in their seeds, carried out at once: each with its own rows, draws and clipping."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mubench.checkpoints import State
from mubench.data import Batch, Stream, shuffled
from mubench.modalities.base import Modality
from mubench.shadows.stack import Stack
from mubench.training import Fit, Hooks, Pass
from mubench.workbench import Workbench


class Draws:
    """The generators of M trainings, each as that of its seed alone has them; part of a checkpoint."""

    def __init__(self, seeds: Sequence[int]) -> None:
        self._states = [State(seed) for seed in seeds]

    @property
    def noises(self) -> list[torch.Generator]:
        """Of the augmentation, one for each training."""
        return [state.noise for state in self._states]

    def orders(self, rows: Tensor) -> Tensor:
        """The rows (n,) in the order of each training's next pass, (M, n)."""
        for state in self._states:
            state.begin_pass()
        return torch.stack([shuffled(rows, state.order) for state in self._states])

    def state_dict(self) -> dict[str, list[Tensor]]:
        """Where the pass that is under way was drawn from, and where the augmentation stands."""
        return {
            "orders": [state.order_at_start for state in self._states],
            "noises": [noise.get_state() for noise in self.noises],
        }

    def load_state_dict(self, saved: dict[str, list[Tensor]]) -> None:
        """Stand at the beginning of the saved pass."""
        for state, order, noise in zip(self._states, saved["orders"], saved["noises"], strict=True):
            state.order.set_state(order)
            state.noise.set_state(noise)


class Abreast:
    """A stream for M models at once: batches of M parts, each part the batch of one of them."""

    def __init__(self, stream: Stream, draws: Draws) -> None:
        self._stream, self._draws = stream, draws

    def __len__(self) -> int:
        return len(self._stream)

    def batches(self, generator: torch.Generator | None, skip: int = 0) -> Iterator[Batch]:
        """One pass, from batch `skip` on: (M * B) rows, those of one model after those of another."""
        columns, device = self._stream.columns, self._stream.device
        orders = self._draws.orders(self._stream.rows).to(columns.targets.device)
        for chunk in list(orders.split(self._stream.batch_size, dim=1))[skip:]:
            yield columns.take(chunk.flatten(), device)


def prepared(batch: Batch, modality: Modality, expected: Any, noises: Sequence[torch.Generator]) -> Batch:
    """The (M * B) rows as M models take them: trimmed to one shape, (M, B, ...).

    Where the preparation draws, each model's part is prepared by itself, with its own generator.
    """
    count = len(noises)
    given = _parts(batch, count) if modality.draws else [batch]
    made = [modality.prepare(part, expected, noise) for part, noise in zip(given, noises, strict=False)]
    whole = modality.trimmed(_joined(made))
    inputs = {name: values.unflatten(0, (count, -1)) for name, values in whole.inputs.items()}
    return Batch(inputs, whole.targets.unflatten(0, (count, -1)), whole.index.unflatten(0, (count, -1)))


def repeated(batch: Batch, count: int) -> Batch:
    """The same rows for each of several models."""
    return _joined([batch] * count)


def _parts(batch: Batch, count: int) -> list[Batch]:
    inputs = {name: values.chunk(count) for name, values in batch.inputs.items()}
    others = zip(batch.targets.chunk(count), batch.index.chunk(count), strict=True)
    return [
        Batch({name: parts[place] for name, parts in inputs.items()}, *other)
        for place, other in enumerate(others)
    ]


def _joined(parts: Sequence[Batch]) -> Batch:
    inputs = {name: torch.cat([part.inputs[name] for part in parts]) for name in parts[0].inputs}
    return Batch(inputs, torch.cat([p.targets for p in parts]), torch.cat([p.index for p in parts]))


def training(
    bench: Workbench, stack: Stack, seeds: Sequence[int], rows: Tensor, checkpoint: Path | None, title: str
) -> Fit:
    """The training of a stack on some training rows by the task's recipe, each model by its own seed.

    But for rounding, model k is what `artifacts.fit` makes with seed k. Dropout is drawn for all of them
    together, from the first seed: no model's masks are those of its training alone. Operations are not
    counted.
    """
    recipe, modality, draws = bench.config.settings.training, bench.modality, Draws(seeds)
    stream = Abreast(Stream(bench.columns["train"], rows, recipe.batch_size, bench.engine.device), draws)

    def prepare(batch: Batch, _: torch.Generator) -> Batch:
        return prepared(batch, modality, bench.spec.input, draws.noises)

    passes = [Pass(stream, partial(stack.losses, modality))] * recipe.epochs
    clip = Hooks() if recipe.clip is None else Hooks(after_backward=partial(stack.clip, recipe.clip))
    return Fit(
        stack, passes, replace(recipe, clip=None), replace(bench.engine, counts=False), seeds[0],
        bench.reporter, title, prepare, clip, checkpoint, {"draws": draws},
    )  # fmt: skip
