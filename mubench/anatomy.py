"""The parts of a network that methods speak of: its blocks in order, its head, its convolutions.

Found by type and role, so that an architecture nobody thought of needs no list of names.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager

from torch import nn

from mubench.adapters.layers import CONVOLUTIONS, heads, output
from mubench.errors import UsageError
from mubench.networks.pretrained import HEADS

CONTAINERS = (nn.Sequential, nn.ModuleList)


def blocks(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """The repeated parts in order, not those within another: layers of a transformer, stages of a ResNet.

    A network that repeats nothing is its children with weights; one without children is its own block.
    """
    listed = [(n, m, kind) for n, m, kind in _listed(model) if not set(n.split(".")) & set(HEADS)]
    count = Counter(type(module) for _, module, _ in listed)
    found: list[tuple[str, nn.Module]] = []
    for name, module, kind in listed:
        inside = any(name.startswith(f"{outer}.") for outer, _ in found)
        repeated = count[type(module)] > 1 or kind is nn.ModuleList  # a list may be long elsewhere
        if repeated and not inside:
            found.append((name, module))
    children = [(name, module) for name, module in model.named_children() if _size(module)]
    return found or children or [("", model)]


def head(model: nn.Module, classes: int) -> list[str]:
    """The part that makes scores: of classes, of tokens, or else the last layer of the largest part."""
    return heads(model, classes) or output(model)[-1:] or [_end(model)]


def scorer(model: nn.Module, classes: int) -> nn.Linear:
    """The linear layer whose outputs are the scores of the classes; UsageError where there is none."""
    inside = [model.get_submodule(part) for part in heads(model, classes)]
    layers = [m for part in inside for m in part.modules() if isinstance(m, nn.Linear)]
    found = [layer for layer in layers if layer.out_features == classes][-1:]
    if not found:
        raise UsageError("the model's scores of classes come from no linear layer")
    return found[0]


def last_layer(model: nn.Module, classes: int, beside: Collection[str] = ()) -> nn.Module:
    """The layer whose outputs are the scores of classes or tokens, or the predicted noise.

    `beside` names weights of an adapter. UsageError where classes are scored by no linear layer.
    """
    with all_moving_but(model, beside):
        if classes:
            return scorer(model, classes)
        return model.get_submodule((output(model)[-1:] or [_end(model, beside)])[0])


@contextmanager
def all_moving_but(model: nn.Module, held: Collection[str]) -> Iterator[None]:
    """Inside, all weights may move but those; afterwards they are held as they were."""
    before = {name: weight.requires_grad for name, weight in model.named_parameters()}
    for name, weight in model.named_parameters():
        weight.requires_grad_(name not in held)
    try:
        yield
    finally:
        for name, weight in model.named_parameters():
            weight.requires_grad_(before[name])


def spatial(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """The convolutions in order; the linear layers where there are none. Their weights are `weight`."""
    from transformers.pytorch_utils import Conv1D

    found: list[tuple[str, nn.Module]] = list(model.named_modules())
    kinds = CONVOLUTIONS if any(isinstance(m, CONVOLUTIONS) for _, m in found) else (nn.Linear, Conv1D)
    return [(name, module) for name, module in found if isinstance(module, kinds)]


def weights_in(model: nn.Module, parts: Iterable[str]) -> set[str]:
    """Names of the weights within the named parts; one that several parts share has its first name."""
    inside = {id(weight) for part in parts for weight in model.get_submodule(part).parameters()}
    return {name for name, weight in model.named_parameters() if id(weight) in inside}


def own_weights(model: nn.Module, parts: Iterable[str]) -> set[str]:
    """Names of the weights within the named parts that no other part uses, as embeddings may use a head's."""
    inside = list(parts)
    outside = {
        id(weight)
        for name, module in model.named_modules()
        if not any(not part or name == part or name.startswith(f"{part}.") for part in inside)
        for weight in module.parameters(recurse=False)
    }
    weights = dict(model.named_parameters())
    return {name for name in weights_in(model, inside) if id(weights[name]) not in outside}


def _end(model: nn.Module, beside: Collection[str] = ()) -> str:
    """The last layer of the largest part, among those with weights of their own that are none of `beside`."""
    part, largest = max(model.named_children(), key=lambda child: _size(child[1]), default=("", model))
    names = [f"{part}.{name}".strip(".") for name, _ in largest.named_parameters()]
    owners = {name.rpartition(".")[0] for name in names if name not in beside}
    paths = [f"{part}.{name}".strip(".") for name, _ in largest.named_modules()]
    return [path for path in paths if path in owners][-1]


def _listed(model: nn.Module) -> Iterator[tuple[str, nn.Module, type[nn.Module]]]:
    """What has weights and stands in a list or a sequence, outer before inner, and in which of both."""
    for name, module in model.named_modules():
        for inner, child in module.named_children() if isinstance(module, CONTAINERS) else ():
            if not isinstance(child, CONTAINERS) and _size(child):
                yield f"{name}.{inner}".lstrip("."), child, type(module)


def _size(module: nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters())
