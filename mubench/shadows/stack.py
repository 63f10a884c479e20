"""Several models of one network as one: their weights stacked, mapped over by torch.func."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import stack_module_state, vmap

from mubench import gradients
from mubench.data import Batch
from mubench.divergence import precise
from mubench.gradients import Elsewhere, without_shortcuts
from mubench.modalities.base import Modality
from mubench.training import train_mode

SMALL = 1e-6  # beside a norm that gradients are divided by, as torch's own clipping has it


class Stack(nn.Module):
    """M networks of one architecture, on one device, as one module with weights and buffers (M, ...).

    The first of them lends its code, and whatever it keeps besides weights and buffers.
    """

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        weights, buffers = stack_module_state(list(networks))
        for name, weight in weights.items():
            held = nn.Parameter(weight.detach().contiguous(), requires_grad=weight.requires_grad)
            self.register_parameter(_stored(name), held)
        for name, buffer in buffers.items():
            self.register_buffer(_stored(name), buffer)
        self._names = [*weights, *buffers]
        self._lent = (networks[0],)  # in a tuple: its own weights are none of this module's
        for part in networks[0].modules():
            _fit_for_mapping(part)

    def __len__(self) -> int:
        return len(next(self.parameters()))

    def of(self, name: str) -> Tensor:
        """The weights or buffers (M, ...) that one network has under a name."""
        values: Tensor = getattr(self, _stored(name))
        return values

    def train(self, mode: bool = True) -> Stack:
        """Training mode as `train_mode` has it for one of them, or evaluation mode."""
        super().train(mode)
        if mode:
            train_mode(self._lent[0])
        else:
            self._lent[0].eval()
        return self

    def losses(self, modality: Modality, batch: Batch) -> Tensor:
        """The mean loss (M,) of each model on its own rows of a prepared and trimmed batch (M, B, ...)."""

        def one(values: Mapping[str, Tensor], *given: Any) -> Tensor:
            network: Any = Elsewhere(self._lent[0], values)
            own = Batch(*given)
            return modality.losses(modality.scores(network, own), own.targets).mean()

        values = {name: self.of(name) for name in self._names}
        each = vmap(one, randomness="different")
        with without_shortcuts():
            found: Tensor = each(values, batch.inputs, batch.targets, batch.index)
        return found

    @torch.no_grad()
    def copy_to(self, place: int, network: nn.Module) -> nn.Module:
        """A network of this architecture, filled with the weights and buffers of one of the models."""
        for name, values in [*network.named_parameters(), *network.named_buffers()]:
            values.copy_(self.of(name)[place])
        return network

    def clip(self, most: float) -> None:
        """Scale each model's whole gradient to a norm of `most` where it is larger."""
        found = {name: weight.grad for name, weight in self.named_parameters() if weight.grad is not None}
        share = (most / (gradients.norms(found) + SMALL)).clamp(max=1)
        for gradient in found.values():
            gradient.mul_(share.view(-1, *[1] * (gradient.dim() - 1)))


def _fit_for_mapping(part: nn.Module) -> None:
    """Have a part of a network do by itself what torch.func does not, or wrongly, where it maps over weights.

    It normalises no batches of bfloat16 by float32 weights: they are given in single precision. Of an
    embedding's padding it holds still the first model's row only: that lookup is a constant here.
    """
    if isinstance(part, nn.modules.batchnorm._BatchNorm):
        part.register_forward_pre_hook(lambda _, given: tuple(map(precise, given)))
    if isinstance(part, nn.Embedding) and part.padding_idx is not None:
        padding, part.padding_idx = part.padding_idx, None

        def hold(_: nn.Module, given: tuple[Tensor, ...], found: Tensor) -> Tensor:
            return torch.where((given[0] == padding)[..., None], found.detach(), found)

        part.register_forward_hook(hold)


def _stored(name: str) -> str:
    """A weight's name as a module may have it: without dots."""
    return name.replace(".", "/")
