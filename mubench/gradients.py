"""Gradients of every example by itself, many examples at a time (torch.func), in bounded memory."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from mubench.data import Batch
from mubench.modalities.base import Modality

# (scores of one example (1, ...), that example as a batch) -> what is differentiated, (1,).
Score = Callable[[Tensor, Batch], Tensor]
# A part of a batch -> what the score sees in the place of its targets, (b, ...).
Judged = Callable[[Batch], Tensor]
BYTES = 2**28  # of the gradients that are held at a time, if one example's are not larger


class Elsewhere:
    """A network as modalities call it, with weights given from outside."""

    def __init__(self, model: nn.Module, weights: Mapping[str, Tensor]) -> None:
        self._model, self._weights = model, dict(weights)

    def __call__(self, *args: Any, **named: Any) -> Any:
        return functional_call(self._model, self._weights, args, named)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)


def per_example(
    model: nn.Module,
    modality: Modality,
    batches: Iterable[Batch],
    score: Score | None = None,
    judged: Judged | None = None,
) -> Iterator[dict[str, Tensor]]:
    """Gradients {weight: (b, *shape)} of the trainable weights for b examples at a time, in order.

    `batches` are prepared; `score` is the task's loss if none is given, and sees what `judged` makes of a
    part in the place of its targets (the network is shown the true ones). The model must be in evaluation
    mode, and works in its weights' own precision: importance and curvature are small numbers, and torch
    maps no batch normalisation of bfloat16 values by float32 weights. A network whose code looks at values
    (torch.func cannot map it) is walked one example at a time.
    """
    weights = {name: w.detach() for name, w in model.named_parameters() if w.requires_grad}
    bytes_each = sum(w.numel() * w.element_size() for w in weights.values())
    most, mapped = max(1, BYTES // max(1, bytes_each)), True

    def one(
        values: dict[str, Tensor], inputs: dict[str, Tensor], targets: Tensor, index: Tensor, seen: Tensor
    ) -> Tensor:
        single = Batch({k: v[None] for k, v in inputs.items()}, targets[None], index[None])
        network: Any = Elsewhere(model, values)
        scores = modality.scores(network, single)
        shown = replace(single, targets=seen[None])
        found = modality.losses(scores, shown.targets) if score is None else score(scores, shown)
        return found.squeeze(0)

    every = vmap(grad(one), in_dims=(None, 0, 0, 0, 0))
    for whole in batches:
        for batch in _parts(modality.trimmed(whole), most):
            seen = batch.targets if judged is None else judged(batch)
            given = batch.inputs, batch.targets, batch.index, seen
            if mapped:
                try:
                    with without_shortcuts():
                        found = every(weights, *given)
                except (RuntimeError, NotImplementedError) as error:
                    if "vmap" not in str(error):
                        raise
                    mapped = False
            if not mapped:
                found = _one_by_one(grad(one), weights, given)
            yield found


def _parts(batch: Batch, most: int) -> Iterator[Batch]:
    for start in range(0, len(batch), most):
        rows = slice(start, start + most)
        inputs = {name: values[rows] for name, values in batch.inputs.items()}
        yield Batch(inputs, batch.targets[rows], batch.index[rows])


def _one_by_one(gradient: Any, weights: dict[str, Tensor], given: Any) -> dict[str, Tensor]:
    inputs, targets, index, seen = given
    rows = [
        gradient(weights, {k: v[row] for k, v in inputs.items()}, targets[row], index[row], seen[row])
        for row in range(len(index))
    ]
    return {name: torch.stack([row[name] for row in rows]) for name in weights}


@contextmanager
def without_shortcuts() -> Iterator[None]:
    """Attention in a form that torch.func maps.

    Transformers builds masks without looking whether they mask anything, as when it traces; torch takes
    attention apart into products, since its fused form on the CPU has no rule for being mapped.
    """
    from torch.nn.attention import SDPBackend, sdpa_kernel

    masks = "transformers.masking_utils"  # loaded by every network that uses it; else it takes seconds
    with (
        patch(f"{masks}.is_tracing", lambda *_: True) if masks in sys.modules else nullcontext(),
        sdpa_kernel(SDPBackend.MATH),
        warnings.catch_warnings(),
    ):
        warnings.filterwarnings("ignore", message="There is a performance drop")
        yield


def mean(
    gradients: Iterable[Mapping[str, Tensor]], of: Callable[[Tensor], Tensor] = torch.square
) -> dict[str, Tensor]:
    """The mean over examples of a function of their gradients; of squares the empirical Fisher's diagonal."""
    sums: dict[str, Tensor] = {}
    count = 0
    for part in gradients:
        count += size(part)
        for name, values in part.items():
            total = of(values).sum(0)
            sums[name] = sums[name].add_(total) if name in sums else total
    return {name: total / count for name, total in sums.items()}


def norms(part: Mapping[str, Tensor]) -> Tensor:
    """The Euclidean norm (b,) of each whole gradient: values (b, ...) of every weight."""
    each = [torch.linalg.vector_norm(values.reshape(len(values), -1), dim=1) for values in part.values()]
    found: Tensor = torch.linalg.vector_norm(torch.stack(each), dim=0)
    return found


def held(parts: Callable[[], Iterator[Mapping[str, Tensor]]]) -> Callable[[], Iterator[Mapping[str, Tensor]]]:
    """The same parts from the start each time, kept if all together take no more than `BYTES`."""
    kept, taken = [], 0
    for part in parts():
        taken += _bytes(part)
        if taken > BYTES:
            return parts
        kept.append(part)
    return lambda: iter(kept)


def blocks(parts: Iterable[Mapping[str, Tensor]]) -> Iterator[list[Mapping[str, Tensor]]]:
    """Consecutive parts that together take no more than `BYTES`, or one that is larger."""
    block: list[Mapping[str, Tensor]] = []
    for part in parts:
        if block and sum(map(_bytes, block)) + _bytes(part) > BYTES:
            yield block
            block = []
        block.append(part)
    if block:
        yield block


def _bytes(part: Mapping[str, Tensor]) -> int:
    return sum(values.numel() * values.element_size() for values in part.values())


def size(part: Mapping[str, Tensor]) -> int:
    """How many examples a part holds the gradients of."""
    return len(next(iter(part.values())))


def kth_smallest(values: Tensor, place: int) -> Tensor:
    """The value at a place, from 0, of values (n,) in ascending order; one copy is partitioned, not sorted.

    On a GPU it is selected without a copy, unless only deterministic operations are allowed: the index
    that comes with it is not.
    """
    if values.is_cuda and not torch.are_deterministic_algorithms_enabled():
        return values.kthvalue(place + 1).values
    partitioned = np.partition(values.detach().cpu().numpy(), place)
    return torch.from_numpy(partitioned[place : place + 1]).to(values)[0]
