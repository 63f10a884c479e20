"""Optimizers and learning-rate schedules of a recipe."""

from __future__ import annotations

import inspect
import math
from collections.abc import Sequence
from typing import Any

import torch
from hydra.utils import get_class
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from mubench.errors import UsageError
from mubench.parts.shards import is_part
from mubench.schema import Recipe

ELEMENTWISE = {
    "mubench.optimizers.sophia.Sophia",
    *(f"torch.optim.{name}" for name in ("AdamW", "Adam", "SGD", "RMSprop", "Adagrad", "NAdam", "RAdam")),
}


def build_optimizer(weights: Sequence[Tensor], recipe: Recipe) -> Optimizer:
    """The recipe's optimizer over the weights, fused where it can be, told the batch size where it asks."""
    settings = {k: v for k, v in recipe.optimizer.items() if k not in ("name", "_target_")}
    kind: Any = lean(get_class(recipe.optimizer["_target_"]))
    quick = "foreach" if any(map(is_part, weights)) else "fused"  # torch fuses no SGD of weights in shards
    known = {quick: True, "batch_size": recipe.batch_size * recipe.accumulate}
    taken = inspect.signature(kind).parameters
    settings |= {name: value for name, value in known.items() if name in taken}
    try:
        return kind(  # type: ignore[no-any-return]
            list(weights), lr=recipe.lr, weight_decay=recipe.weight_decay, **settings
        )
    except (TypeError, ValueError, RuntimeError, UsageError) as error:
        raise UsageError(f"optimizer '{recipe.optimizer.get('name')}': {error}") from error


def elementwise(recipe: Recipe) -> bool:
    """Whether the optimizer moves each weight by its own gradients alone, so that models may be stacked."""
    return recipe.optimizer["_target_"] in ELEMENTWISE


def lean(kind: type) -> type:
    """One of torch's optimizers, or ours, without its guards for being compiled, which we never do.

    At their first call the guards import torch._dynamo: 3 to 5 seconds of a run's start.
    """
    if not kind.__module__.startswith(("torch.optim", "mubench.optimizers")):
        return kind
    names = ("add_param_group", "zero_grad", "state_dict", "load_state_dict", "step")
    methods = {name: inspect.unwrap(getattr(kind, name)) for name in names}
    methods["step"] = torch.no_grad()(methods["step"])
    return type(kind.__name__, (kind,), methods)


def factor(step: int, total: int, recipe: Recipe) -> float:
    """The share of the full learning rate at a step (from 0): linear warm-up, then the schedule to 0."""
    warmup = round(recipe.warmup * total)
    if step < warmup:
        return (step + 1) / warmup
    progress = (step - warmup) / max(1, total - warmup)
    if recipe.schedule == "linear":
        return max(0.0, 1.0 - progress)
    if recipe.schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
    return 1.0


def build_schedule(optimizer: Optimizer, recipe: Recipe, total: int) -> LambdaLR:
    """The schedule over `total` optimizer steps."""
    return LambdaLR(optimizer, lambda step: factor(step, total, recipe))
