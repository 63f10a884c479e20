"""Rounding of the weights, as for a small device (Zhang et al., 2410.16454)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor, nn

from mubench.attacks.base import Attack, Target, columns, several
from mubench.metrics.base import Curves
from mubench.schema import within

FULL = 32.0  # the bits of the point at which nothing is rounded
ROWS = (nn.Linear, nn.Embedding, nn.Conv1d, nn.Conv2d, nn.Conv3d)  # layers whose weight begins with outputs
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


@dataclass
class Quantise(Attack):
    """Weights of linear, convolutional and embedding layers go to the nearest of 2^bits - 1 levels.

    The levels lie symmetrically about 0, up to the largest weight of an output channel (a token, of an
    embedding), or of each group of so many weights within it. Simulated: rounded weights are computed with
    in floating point. Biases, normalisations and activations keep their precision.
    """

    bits: list[int] = field(default_factory=lambda: [8, 4])
    group: int | None = None  # weights that share a scale; null: a whole channel

    source: ClassVar[tuple[str, ...]] = ("zhang2025quantization",)
    formula: ClassVar[str] = "s round(w / s) with s = max |w| / (2^(bits - 1) - 1) of each output channel"

    def __post_init__(self) -> None:
        super().__post_init__()
        several("bits", self.bits)
        for bits in self.bits:
            within("bits", bits, 2, 16)
        if self.group is not None:
            within("group", self.group, 1, 1e9)

    def curves(self, target: Target) -> Curves:
        """Series `weights`: the split metrics by `bits`, those of the model as it is among them."""
        points = [{"bits": FULL, **self.measure(target, target.network)}]
        for bits in self.bits:
            network = target.copy()
            quantise(network, bits, self.group)
            points.append({"bits": float(bits), **self.measure(target, network)})
        return {"weights": columns(points)}


@torch.no_grad()
def quantise(network: nn.Module, bits: int, group: int | None = None) -> None:
    """Round a network's weights in place, each once, however many layers share it."""
    seen: set[int] = set()
    for weight, channel in _weights(network):
        if id(weight) not in seen:
            seen.add(id(weight))
            weight.copy_(rounded(weight.movedim(channel, 0), bits, group).movedim(0, channel))


def rounded(weight: Tensor, bits: int, group: int | None = None) -> Tensor:
    """Each row of a weight (outputs, ...) on its own levels; rows, or groups, of zeros stay."""
    top = 2 ** (bits - 1) - 1
    rows = weight.reshape(len(weight), -1)
    parts = rows.split(group or rows.shape[1], dim=1)
    scales = [part.abs().amax(dim=1, keepdim=True) / top for part in parts]
    found = [
        (part / scale.where(scale > 0, 1.0)).round().clamp(-top, top) * scale
        for part, scale in zip(parts, scales, strict=True)
    ]
    return torch.cat(found, dim=1).reshape(weight.shape)


def _weights(network: nn.Module) -> Iterator[tuple[Tensor, int]]:
    """Every weight to round, and the dimension of its output channels."""
    from transformers.pytorch_utils import Conv1D

    for module in network.modules():
        if isinstance(module, ROWS):
            yield module.weight, 0
        elif isinstance(module, (Conv1D, *TRANSPOSED)):
            yield module.weight, 1
