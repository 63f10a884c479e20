"""States of what is held in parts, as one process has them: for files, and for other numbers of processes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from mubench.parts.shards import in_shards, like, whole


@torch.no_grad()
def state_of(model: nn.Module) -> dict[str, Tensor]:
    """All weights and buffers by name, on the host; every process must ask for it at the same place."""
    return {name: whole(value).cpu() for name, value in model.state_dict().items()}


@torch.no_grad()
def fill(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Give a model all weights and buffers; one in shards takes its parts."""
    known = model.state_dict()
    model.load_state_dict({name: like(known[name], value) for name, value in state.items()})


class Model:
    """A model in shards, as a checkpoint holds and restores one process's."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model

    def state_dict(self) -> dict[str, Tensor]:
        """All weights and buffers."""
        return state_of(self._model)

    def load_state_dict(self, saved: Mapping[str, Tensor]) -> None:
        """Take the parts of this process."""
        fill(self._model, saved)


class OptimizerState:
    """The optimizer of such a model, likewise."""

    def __init__(self, optimizer: Optimizer) -> None:
        self._optimizer = optimizer

    def state_dict(self) -> dict[str, Any]:
        """What it keeps of each weight, whole."""
        return self._changed(self._optimizer.state_dict(), lambda value, _: whole(value).cpu())

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Take what it keeps of this process's parts; a number for a whole weight stays one."""
        self._optimizer.load_state_dict(
            self._changed(saved, lambda value, weight: like(weight, value) if value.dim() else value)
        )

    @torch.no_grad()
    def _changed(self, state: dict[str, Any], change: Callable[[Tensor, Tensor], Tensor]) -> dict[str, Any]:
        weights = [weight for group in self._optimizer.param_groups for weight in group["params"]]
        of_each = {
            place: {
                name: change(v, weights[place]) if isinstance(v, Tensor) else v for name, v in kept.items()
            }
            for place, kept in state["state"].items()
        }
        return {**state, "state": of_each}


def resumable(model: nn.Module, optimizer: Any) -> dict[str, Any]:
    """The model and its optimizer as parts of a checkpoint."""
    if in_shards(model):
        return {"model": Model(model), "optimizer": OptimizerState(optimizer)}
    return {"model": model, "optimizer": optimizer}
