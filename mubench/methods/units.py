"""Units of a network: one output of a linear layer or one filter of a convolution, with its weights."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from mubench.adapters.layers import CONVOLUTIONS


@dataclass(frozen=True)
class Layer:
    """A layer whose weights may move: `across` is the dimension of its weight that counts its units."""

    module: nn.Module
    across: int
    units: int
    names: Mapping[str, int]  # weights by their names in the model, and the dimension that counts units

    @property
    def weight(self) -> Tensor:
        """Its matrix or kernel."""
        weight: Tensor = self.module.weight  # type: ignore[assignment]
        return weight


def layers(model: nn.Module, free: Mapping[str, Tensor]) -> list[Layer]:
    """The linear layers and convolutions among whose weights are free ones, in order."""
    from transformers.pytorch_utils import Conv1D

    names, found = {id(weight): name for name, weight in free.items()}, []
    for module in model.modules():
        if not isinstance(module, (nn.Linear, Conv1D, *CONVOLUTIONS)) or id(module.weight) not in names:
            continue
        across = 1 if isinstance(module, Conv1D) else 0
        own = {names[id(module.weight)]: across}
        if id(module.bias) in names:
            own[names[id(module.bias)]] = 0
        found.append(Layer(module, across, module.weight.shape[across], own))
    return found


def mean_activations(layers: Collection[Layer], forward: Callable[[], Any]) -> Tensor:
    """Every layer's units (U,) in a forward, in order: the mean output over examples and places."""
    seen: dict[int, list[Tensor]] = {place: [] for place in range(len(layers))}

    def keep(place: int, channel: int, _module: nn.Module, _inputs: Any, output: Tensor) -> None:
        seen[place].append(output.detach().float().movedim(channel, 0).flatten(1).mean(1))

    with ExitStack() as stack, torch.no_grad():
        for place, layer in enumerate(layers):
            channel = 1 if isinstance(layer.module, CONVOLUTIONS) else -1
            handle = layer.module.register_forward_hook(partial(keep, place, channel))
            stack.callback(handle.remove)
        forward()
    pieces = []
    for place, layer in enumerate(layers):
        calls = seen[place]  # none where the forward goes around it, several where a layer is shared
        pieces.append(
            torch.stack(calls).mean(0) if calls else torch.zeros(layer.units, device=layer.weight.device)
        )
    return torch.cat(pieces)
