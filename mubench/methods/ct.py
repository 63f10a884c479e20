"""CT: transposed convolution kernels, repaired on D_r (Cadet et al., 2410.01276)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from mubench import anatomy
from mubench.methods.finetune import Finetune
from mubench.methods.renewal import head_weights, spatial_weights
from mubench.parts.shards import like, whole
from mubench.run import Run


@dataclass
class CT(Finetune):
    """Height and width of every kernel change places, then min mean CE on D_r.

    A kernel that is not square, or has a length alone, is turned round instead: its numbers change places
    too. Without convolutions the outputs of each linear layer are put in random order; those of the head
    stay, since they are the classes.
    """

    layers: ClassVar[Literal["all", "convolutions"]] = "convolutions"
    source: ClassVar[tuple[str, ...]] = ("cadet2024", "triantafillou2024")
    formula: ClassVar[str] = "K[h, w] = K0[w, h] for every kernel, then min mean CE on D_r"

    def unlearn(self, run: Run) -> None:
        """Disturb, then repair."""
        generator, weights, head = run.generator(), spatial_weights(run), head_weights(run)
        for name, module in anatomy.spatial(run.model):
            weight = weights.get(f"{name}.weight")
            if weight is not None and (weight.dim() > 2 or f"{name}.weight" not in head):
                _put(weight, disturbed(module, whole(weight.detach()), generator))
        super().unlearn(run)


def disturbed(module: nn.Module, weight: Tensor, generator: torch.Generator) -> Tensor:
    """A layer's weight with its numbers in other places; `generator` orders a linear layer's outputs."""
    if weight.dim() == 2:
        outputs = 0 if isinstance(module, nn.Linear) else 1  # Conv1D of transformers: inputs x outputs
        order = torch.randperm(weight.shape[outputs], generator=generator)
        return weight.index_select(outputs, order.to(weight.device))
    if weight.dim() > 3 and weight.shape[-1] == weight.shape[-2]:
        return weight.transpose(-1, -2)
    return weight.flip(tuple(range(2, weight.dim())))


@torch.no_grad()
def _put(weight: Tensor, values: Tensor) -> None:
    weight.copy_(like(weight, values.clone()))  # a transposed view shares the memory that is written
