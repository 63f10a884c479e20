"""Setting weights back to fresh ones, and which of them convolutions hold: what several methods share."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch
from torch import Tensor

from mubench import anatomy
from mubench.errors import UsageError
from mubench.parts.shards import like
from mubench.run import Run


def spatial_weights(run: Run) -> dict[str, Tensor]:
    """Weights by name of the convolutions, else of the linear layers, that may move; UsageError for none."""
    names = [f"{name}.weight" for name, _ in anatomy.spatial(run.model)]
    weights = run.weights
    found = {name: weights[name] for name in names if name in weights}
    if not found:
        raise UsageError("the model has no convolution, and no linear layer, whose weights may move")
    return found


def head_weights(run: Run) -> set[str]:
    """Names of the head's weights; not of one that other parts share, as embeddings may."""
    return anatomy.own_weights(run.model, anatomy.head(run.model, run.classes))


@torch.no_grad()
def renew(run: Run, names: Collection[str]) -> None:
    """Put fresh values in the place of these weights, of those that may move, and of statistics beside them.

    Under an adapter fresh values are those of an update that does nothing yet.
    """
    fresh, moving = run.fresh_weights(), run.weights.keys() & set(names)
    for module_name, module in run.model.named_modules():
        own = {f"{module_name}.{n}".lstrip("."): w for n, w in module.named_parameters(recurse=False)}
        if not own.keys() & moving:
            continue
        beside = {f"{module_name}.{n}".lstrip("."): b for n, b in module.named_buffers(recurse=False)}
        chosen = {name: own[name] for name in own.keys() & moving}
        for name, value in {**chosen, **{n: b for n, b in beside.items() if n in fresh}}.items():
            value.copy_(fresh[name])


@torch.no_grad()
def renew_where(run: Run, masks: Mapping[str, Tensor]) -> None:
    """Put fresh values where a weight's mask is true."""
    fresh, weights = run.fresh_weights(), run.weights
    for name, mask in masks.items():
        weights[name].copy_(torch.where(mask, fresh[name], weights[name]))


@torch.no_grad()
def distort(weights: Collection[Tensor], sigma: float, generator: torch.Generator) -> None:
    """Add noise from N(0, sigma^2) to every weight, in order."""
    for weight in weights:
        weight.add_(like(weight, sigma * torch.randn(weight.shape, generator=generator)))
