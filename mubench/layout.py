"""How the processes of a command hold a model: each the whole of it, or a part of every weight (FSDP)."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from mubench import anatomy, processes
from mubench.parts import gathered, shards

ENTRANCES = ("features",)  # what a method may call of a network besides its forward


def laid_out(model: nn.Module) -> nn.Module:
    """The model as this command's processes hold it; parts of those blocks that share no weight are units."""
    if not processes.sharded():
        return model
    apart = [
        block
        for name, block in anatomy.blocks(model)
        if anatomy.own_weights(model, [name]) == anatomy.weights_in(model, [name])
    ]
    return shards.shared_out(model, apart, [name for name in ENTRANCES if hasattr(model, name)])


def together(model: nn.Module, build: Callable[[], nn.Module]) -> nn.Module:
    """The model whole in the main process, for what that does alone; all ask for it at the same place.

    `build` makes a network of the same architecture. Another process goes on with its parts.
    """
    if not shards.in_shards(model):
        return model
    found, state = [model], gathered.state_of(model)

    def fill() -> None:
        found[0] = build()
        found[0].load_state_dict(state)
        found[0].eval()

    processes.shared(fill)
    return found[0]
