"""Which layers of a network get low-rank updates, how large those are, and which part is the head.

Found by type and role, so that an architecture nobody thought of needs no list of names.
"""

from __future__ import annotations

import sys
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import nn

from mubench.errors import UsageError, did_you_mean
from mubench.networks.pretrained import HEADS

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
# Their parts are read by fused functions, never called: an update beside them would have no effect.
FUSED = (nn.MultiheadAttention, nn.TransformerEncoderLayer, nn.TransformerDecoderLayer)


@dataclass(frozen=True)
class Layer:
    """A layer whose weight, as a matrix, is outputs x inputs; a convolution's kernel counts as inputs."""

    name: str
    inputs: int
    outputs: int

    @property
    def full(self) -> int:
        """The largest rank that its update can have."""
        return min(self.inputs, self.outputs)

    def size(self, rank: int) -> int:
        """Parameters of A (rank x inputs) and B (outputs x rank), the rank clipped to full rank."""
        return min(rank, self.full) * (self.inputs + self.outputs)


def size(layers: Sequence[Layer], rank: int) -> int:
    """Parameters of the updates of all layers."""
    return sum(layer.size(rank) for layer in layers)


def rank_for(layers: Sequence[Layer], wanted: float) -> int:
    """The rank, at least 1, whose updates have the number of parameters nearest to the wanted one."""
    ranks = range(1, max(layer.full for layer in layers) + 1)
    above = min(bisect_left(ranks, wanted, key=lambda rank: size(layers, rank)), len(ranks) - 1)
    near = ranks[max(0, above - 1) : above + 1]
    return min(near, key=lambda rank: abs(size(layers, rank) - wanted))


def targets(model: nn.Module, classes: int, suffixes: Sequence[str] | None = None) -> list[Layer]:
    """The layers to update: all but the head's, or those whose names end so; UsageError for none."""
    outside = [*heads(model, classes), *output(model), *_fused(model)]
    inside = {
        name: layer
        for name, layer in _layers(model)
        if not any(name == part or name.startswith(f"{part}.") for part in outside)
    }
    for suffix in suffixes or []:
        if not any(_ends(name, suffix) for name in inside):
            leaves = {name.rpartition(".")[2] for name in inside}
            raise UsageError(
                f"adapter.targets: no layer to adapt is called '{suffix}'.{did_you_mean(suffix, leaves)}"
            )
    chosen = [
        layer
        for name, layer in inside.items()
        if suffixes is None or any(_ends(name, suffix) for suffix in suffixes)
    ]
    if not chosen:
        raise UsageError("adapter: the model has no linear or convolutional layer to adapt")
    return chosen


def heads(model: nn.Module, classes: int) -> list[str]:
    """The parts that make classes of features: the last layer with so many outputs, and what is with it.

    A part called as heads are (`classifier`) counts whole, and so do its neighbours of such a name.
    """
    last = [name for name, layer in _layers(model) if classes and layer.outputs == classes][-1:]
    if not last:
        return []
    steps = last[0].split(".")
    named = next((place for place, step in enumerate(steps) if step in HEADS), None)
    if named is None:
        return last
    parent = ".".join(steps[:named])
    around = model.get_submodule(parent).named_children()
    return [f"{parent}.{name}".lstrip(".") for name, _ in around if name in HEADS]


def _layers(model: nn.Module) -> Iterator[tuple[str, Layer]]:
    """Every linear or convolutional layer that an update can stand beside, in order."""
    # A network with such layers has imported them; the import takes others seconds.
    transposed = getattr(sys.modules.get("transformers.pytorch_utils"), "Conv1D", ())
    for name, module in model.named_modules():
        weight = module._parameters.get("weight")  # not one that a parametrization computes
        if weight is None or not weight.requires_grad:
            continue
        if isinstance(module, transposed):
            yield name, Layer(name, *weight.shape)
        elif isinstance(module, nn.Linear) or (isinstance(module, CONVOLUTIONS) and _plain(module)):
            matrix = weight.flatten(1)
            yield name, Layer(name, matrix.shape[1], matrix.shape[0])


def _plain(convolution: nn.Conv1d | nn.Conv2d | nn.Conv3d) -> bool:
    """One that peft's low-rank convolution, of the same kernel, stride and padding, can stand beside."""
    dilated = any(step > 1 for step in convolution.dilation)
    return convolution.groups == 1 and not dilated and convolution.padding_mode == "zeros"


def output(model: nn.Module) -> list[str]:
    """The layer that makes scores of tokens, often the embeddings' own weight."""
    embeddings = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    named = getattr(model, "get_output_embeddings", lambda: None)()
    return [
        name
        for name, module in model.named_modules()
        if (module is named and named is not None)
        or (isinstance(module, nn.Linear) and id(module.weight) in embeddings)
    ]


def _fused(model: nn.Module) -> list[str]:
    return [name for name, module in model.named_modules() if isinstance(module, FUSED)]


def _ends(name: str, suffix: str) -> bool:
    return name == suffix or name.endswith(f".{suffix}")
