"""Models of which each process holds a part of every weight: torch's FSDP, `fully_shard`.

A weight is cut along its first dimension, and so are its gradient and what an optimizer keeps of it. A unit
of the network is put together for its forward and again for its backward; its gradients leave as sums over
processes, each with its own part. Torch would divide them by the number of processes: the losses are
shares of the batch's already (`mubench.parts.cut`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from mubench import processes
from mubench.errors import UsageError


@cache
def _mesh(device: str) -> Any:
    from torch.distributed.device_mesh import init_device_mesh

    return init_device_mesh(device, (processes.count(),))


def shared_out(model: nn.Module, units: Iterable[nn.Module], entrances: Collection[str] = ()) -> nn.Module:
    """The same model, of which this process holds its part; `units` are put together one at a time.

    `entrances` are methods of the model, besides its forward, that use its weights.
    """
    from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method

    weights = dict(model.named_parameters())
    single = next((name for name, weight in weights.items() if not weight.dim()), None)
    if single is not None:
        raise UsageError(f"weight '{single}' is a single number, of which processes cannot hold parts (FSDP)")
    model.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    mesh = _mesh(next(iter(weights.values())).device.type)
    for unit in [*(unit for unit in units if unit is not model), model]:
        fully_shard(unit, mesh=mesh)
    for part in model.modules():
        if isinstance(part, FSDPModule):
            part.set_gradient_divide_factor(1.0)
            part.set_force_sum_reduction_for_comms(True)  # gloo has no other
    for name in entrances:
        register_fsdp_forward_method(model, name)
    return model


def is_part(value: object) -> bool:
    """Whether a weight or a gradient is one of which this process holds a part."""
    if processes.count() == 1:
        return False
    from torch.distributed.tensor import DTensor

    return isinstance(value, DTensor)


def in_shards(model: nn.Module) -> bool:
    """Whether processes hold parts of the model."""
    return any(is_part(weight) for weight in model.parameters())


def whole(value: Tensor) -> Tensor:
    """A weight or what is kept of it with all its values; every process must ask at the same place."""
    found: Tensor = value.full_tensor() if is_part(value) else value  # type: ignore[attr-defined]
    return found


def like(weight: Tensor, value: Tensor) -> Tensor:
    """A whole value of a weight's shape, drawn or read by every process, as the weight is held."""
    value = value.to(weight.device, weight.dtype)
    if not is_part(weight):
        return value
    from torch.distributed.tensor import distribute_tensor

    held: Any = weight
    found: Tensor = distribute_tensor(value, held.device_mesh, held.placements, src_data_rank=None)
    return found
