"""Gradients added up over processes, and weights kept alike.

Why not DistributedDataParallel: it hangs on the forward of one module, called once a step. A method's loss
may call the model several times, look into parts of it by hooks, or leave some out; its own hooks want whole
gradients, and so does clipping. Adding up after the backward asks nothing of the loss. What it costs is that
gradients travel after the backward instead of beside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from mubench import processes
from mubench.errors import RunFailed
from mubench.parts.shards import is_part

VALUES = 2**24  # in one message, at most, if one weight has not more


@torch.no_grad()
def summed(values: Tensor) -> Tensor:
    """The sum over processes, in place, the same bits in each."""
    if processes.count() > 1:
        import torch.distributed as dist

        dist.all_reduce(values)
    return values


@torch.no_grad()
def add_up_gradients(weights: Sequence[Tensor]) -> None:
    """Each weight's gradient becomes the sum of those of all processes; None where none has one.

    Those of a model in shards are sums already.
    """
    if processes.count() == 1 or any(is_part(weight) for weight in weights):
        return
    known = torch.tensor([weight.grad is not None for weight in weights], device=weights[0].device)
    wanted = summed(known.to(torch.float32)).tolist()
    moved = [weight for weight, count in zip(weights, wanted, strict=True) if count]
    for weight in moved:
        weight.grad = torch.zeros_like(weight) if weight.grad is None else weight.grad
    for some in _bundles([weight.grad for weight in moved if weight.grad is not None]):
        flat = summed(torch.cat([gradient.flatten() for gradient in some]))
        for gradient, values in zip(some, flat.split([g.numel() for g in some]), strict=True):
            gradient.copy_(values.view_as(gradient))


def _bundles(tensors: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Consecutive tensors of one type that together have no more than `VALUES`, or one that is larger."""
    some: list[Tensor] = []
    for tensor in tensors:
        full = sum(t.numel() for t in some) + tensor.numel() > VALUES
        if some and (full or tensor.dtype != some[0].dtype):
            yield some
            some = []
        some.append(tensor)
    if some:
        yield some


def _held_by_all(model: nn.Module) -> list[Tensor]:
    """Weights and buffers but for those of which each process holds a part: of these there is one alone."""
    return [value for value in model.state_dict().values() if not is_part(value)]


@torch.no_grad()
def make_alike(model: nn.Module) -> None:
    """Weights and buffers as the main process has them."""
    if processes.count() > 1:
        import torch.distributed as dist

        for value in _held_by_all(model):
            held = value.contiguous()
            dist.broadcast(held, src=0)
            value.copy_(held)


@torch.no_grad()
def check_alike(model: nn.Module, title: str) -> None:
    """RunFailed unless all processes' weights and buffers have the same sums, to the bit."""
    if processes.count() == 1:
        return
    values = [value.double() for value in _held_by_all(model) if value.is_floating_point()]
    sums = [torch.stack([value.sum(), value.square().sum()]).tolist() for value in values]
    if len({str(found) for found in processes.gathered([sums])}) > 1:
        raise RunFailed(f"{title}: the weights of the {processes.count()} processes came apart")
