"""Batch normalisation by the statistics of the whole batch where processes have a part of it each.

Torch's SyncBatchNorm does so on GPUs alone, and would count the row that a process without one works on.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from mubench import processes
from mubench.parts.cut import present

BatchNorm = nn.modules.batchnorm._BatchNorm


@contextmanager
def of_whole_batches(model: nn.Module) -> Iterator[None]:
    """Inside, the model's batch normalisations in training mode normalise by the whole batch."""
    layers = [m for m in model.modules() if isinstance(m, BatchNorm)] if processes.count() > 1 else []
    for layer in layers:
        layer.forward = partial(_forward, layer, layer.forward)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


def _forward(layer: Any, alone: Any, values: Tensor) -> Tensor:
    part = present()
    if part is None or not (layer.training or layer.running_mean is None):
        found: Tensor = alone(values)
        return found
    of_each = values.numel() // values.shape[1] // (part.last - part.first)  # row's values, per channel
    if part.total * of_each < 2:  # as torch says it
        raise ValueError(
            f"Expected more than 1 value per channel when training, got input size {values.shape}"
        )
    counts = part.counted > 0
    x = values.float() if values.dtype in (torch.bfloat16, torch.float16) else values
    places = [dimension for dimension in range(x.dim()) if dimension != 1]
    shape = [1, -1] + [1] * (x.dim() - 2)
    number = x.new_tensor([x.numel() / x.shape[1] * counts])
    sums = _sum(torch.cat([x.sum(places) * counts, number]))
    mean, total = sums[:-1] / sums[-1], sums[-1].detach()
    centred = x - mean.view(shape)
    variance = _sum(centred.square().sum(places) * counts) / total
    if layer.running_mean is not None and layer.training:
        _remember(layer, mean.detach(), variance.detach() * total / (total - 1).clamp_min(1))
    found = centred * torch.rsqrt(variance + layer.eps).view(shape)
    if layer.weight is not None:
        found = found * layer.weight.view(shape) + layer.bias.view(shape)
    return found.to(values.dtype)


@torch.no_grad()
def _remember(layer: Any, mean: Tensor, variance: Tensor) -> None:
    """Count a batch's mean and unbiased variance into the running ones."""
    layer.num_batches_tracked.add_(1)
    share = 1 / float(layer.num_batches_tracked) if layer.momentum is None else layer.momentum
    layer.running_mean.lerp_(mean.to(layer.running_mean), share)
    layer.running_var.lerp_(variance.to(layer.running_var), share)


class _Sum(torch.autograd.Function):
    """The sum over processes; so is its gradient, since what each makes of the sum counts for the loss."""

    @staticmethod
    def forward(_: Any, values: Tensor) -> Tensor:
        """The sum of all processes' values."""
        return _added(values)

    @staticmethod
    def backward(_: Any, *gradients: Tensor) -> Tensor:
        """The sum of all processes' gradients."""
        return _added(gradients[0])


def _sum(values: Tensor) -> Tensor:
    found: Tensor = _Sum.apply(values)  # type: ignore[no-untyped-call]
    return found


def _added(values: Tensor) -> Tensor:
    import torch.distributed as dist

    added = values.contiguous().clone()
    dist.all_reduce(added)
    return added
