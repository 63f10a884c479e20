"""The real-valued inputs of networks, which noise and gradients can move: pixels, waves, embeddings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mubench.divergence import precise


@dataclass(frozen=True)
class Signal:
    """What the network computes on, (B, ...), and how far it spreads.

    `deviation` is that of an example's own values, so that noise measured in it suits pixels as well
    as embeddings; it has a shape that spreads over the values, and is 0 where they are padding.
    """

    values: Tensor
    deviation: Tensor


def of(values: Tensor, own: Tensor | None = None) -> Signal:
    """The signal of values (B, ...); `own` spreads over them and is 0 where they are padding."""
    mask = values.new_ones([len(values)] + [1] * (values.dim() - 1)) if own is None else own.to(values)
    flat = precise(values.detach()).flatten(1)
    counted = mask.expand_as(values).flatten(1)
    count = counted.sum(1, keepdim=True).clamp_min(1)
    mean = (flat * counted).sum(1, keepdim=True) / count
    variance = ((flat - mean).square() * counted).sum(1, keepdim=True) / count
    return Signal(values, variance.sqrt().view(-1, *[1] * (values.dim() - 1)) * mask)


def noise(values: Tensor, rows: Tensor, *seeds: int) -> Tensor:
    """Standard normal noise of the values' shape (B, ...) that a row (B,) and the seeds decide."""

    def one(row: int) -> Tensor:
        seed = int(np.random.SeedSequence([*seeds, row]).generate_state(1, np.uint64)[0])
        return torch.randn(values.shape[1:], generator=torch.Generator().manual_seed(seed))

    return torch.stack([one(row) for row in rows.tolist()]).to(values)


def words(model: nn.Module) -> nn.Module:
    """The layer that makes embeddings (B, T, D) of token ids (B, T)."""
    network: Any = model
    found: nn.Module = network.get_input_embeddings()
    return found


@contextmanager
def heard(model: nn.Module, values: Tensor) -> Iterator[None]:
    """Inside, the first tokens that the model looks up have these embeddings (B, T, D), whatever their ids.

    Behind an encoder it is the encoder that looks up first; parts may share a weight, not the layer.
    """
    weight, waiting = words(model).weight, [True]

    def answer(_module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
        if not waiting:
            return output
        waiting.clear()
        return torch.cat([values.to(output.dtype), output[:, values.shape[1] :]], dim=1)

    layers = [m for m in model.modules() if isinstance(m, nn.Embedding) and m.weight is weight]
    hooks = [layer.register_forward_hook(answer) for layer in layers]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
