"""RMU: hidden states of D_f towards a random direction, those of D_r held (Li et al., 2403.03218)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from mubench import anatomy
from mubench.data import Batch, Paired
from mubench.divergence import precise
from mubench.errors import UsageError
from mubench.methods.base import Method
from mubench.run import Run, StreamName
from mubench.schema import within

TRAINED = 3  # blocks whose last projection moves: the one that is steered and those before it


@dataclass
class Rmu(Method):
    """min mean |h(x_f) - c u|^2 + alpha |h(x_r) - h_w0(x_r)|^2, h the output of one block.

    u = v / |v| with v uniform in [0, 1) for each channel; means over an example's own places and channels.
    Only the last weight matrix of that block and of the two before it moves.
    """

    depth: float = 0.5  # share of the blocks before the one that is steered (7 of 32 in the paper)
    steering: float = 3.0  # c, in the mean length of the original's hidden states on D_f: more confuses more
    alpha: float = 10.0  # weight of retaining

    stream: ClassVar[StreamName] = "paired"
    needs: ClassVar[frozenset[str]] = frozenset({"forget", "retain"})
    source: ClassVar[tuple[str, ...]] = ("li2024",)
    formula: ClassVar[str] = (
        "min mean |h(x) - c u|^2 on D_f + alpha |h(x) - h_w0(x)|^2 on D_r, h the output of one block, "
        "u a random direction, c = steering mean |h_w0(x)| over D_f"
    )
    memory: ClassVar[str] = "one copy of the weights"
    moves: ClassVar[Literal["all", "some", "none"]] = "some"

    def __post_init__(self) -> None:
        within("method.depth", self.depth, 0, 1)
        within("method.steering", self.steering, 0, 1e6)
        within("method.alpha", self.alpha, 0, 1e9)

    def prepare(self, run: Run) -> None:
        """The block, what moves, and where D_f is steered to: its length is relative to the original's."""
        self._original = run.original
        count = len(anatomy.blocks(run.model))
        self._place = min(int(self.depth * count), count - 1)
        lengths, seen = 0.0, 0
        with torch.no_grad():
            for batch in run.stream("forget").batches(None):
                states, own = self._states(run, self._original, run.prepare(batch))
                lengths += float((torch.linalg.vector_norm(states, dim=-1) * own).sum())
                seen += int(own.sum())
        draw = torch.rand(states.shape[-1], generator=run.generator())
        self._target = (self.steering * lengths / seen * draw / draw.norm()).to(states)

    def loss(self, run: Run, batch: Paired) -> Tensor:  # type: ignore[override]
        """Both terms from one forward of the model, and one of the original."""
        joined = batch.joined()
        states, own = self._states(run, run.model, joined)
        with torch.no_grad():
            before, _ = self._states(run, self._original, joined)
        steered, _ = batch.split(_over(own, (states - self._target).square()))
        _, kept = batch.split(_over(own, (states - before).square()))
        return run.reduce(steered, "forget") + self.alpha * run.reduce(kept, "retain")

    def unlearn(self, run: Run) -> None:
        """Train the last projections alone."""
        with run.only(projections(run.model, list(run.weights), self._place)):
            super().unlearn(run)

    def _states(self, run: Run, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        """The block's output as (B, places, channels), and which places are an example's own (B, places)."""
        block = anatomy.blocks(model)[self._place][1]
        found: list[Tensor] = []
        hook = block.register_forward_hook(lambda _block, _inputs, output: found.append(_tensor(output)))
        try:
            run.modality.logits(model, batch)
        finally:
            hook.remove()
        states = places(precise(found[-1]), len(batch))  # a block that all layers share: of the last
        own = states.new_ones(states.shape[:2])
        known = run.modality.own(model, batch, block)
        if known is not None and found[-1].dim() == 3 and known.shape[1] <= own.shape[1]:
            own[:, : known.shape[1]] = known.to(own)
        return states, own


def projections(model: nn.Module, moving: list[str], place: int) -> set[str]:
    """The last weight matrix that may move of each block from two before `place` to it."""
    found = set()
    for _, block in anatomy.blocks(model)[max(0, place - TRAINED + 1) : place + 1]:
        inside = {id(weight) for weight in block.parameters() if weight.dim() > 1}
        found |= set([n for n in moving if id(model.get_parameter(n)) in inside][-1:])
    if not found:
        raise UsageError("no weight of the blocks that method 'rmu' trains may move")
    return found


def places(states: Tensor, batch: int) -> Tensor:
    """A block's output as (B, places, channels): maps (B, C, H, W) have their channels second."""
    last = states.movedim(1, -1) if states.dim() > 3 else states
    return last.reshape(batch, -1, states.shape[1] if states.dim() > 3 else states.shape[-1])


def _over(own: Tensor, values: Tensor) -> Tensor:
    """The mean over an example's own places and all channels, (B,)."""
    return (values.mean(-1) * own).sum(1) / own.sum(1).clamp_min(1)


def _tensor(output: Any) -> Tensor:
    found: Tensor = output if isinstance(output, Tensor) else output[0]
    return found
