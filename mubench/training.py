"""The loop: one for originals, retrained models and methods alike.

for each pass:                          a stream of batches, and a loss
    for each batch:
        loss(prepare(batch)).backward()
        every `accumulate` batches:     after_backward, clip, step, schedule, after_step
    after_pass

Several processes (`mubench.processes`) read the same batches and draw the same augmentation. Each works on
its part of a batch, and gradients are added up before after_backward, so that all take the same steps.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from mubench.checkpoints import Checkpoint, State, parts_of
from mubench.effort import Effort, flop_counter
from mubench.engine import Engine
from mubench.errors import Diverged
from mubench.models import own_seed, seeded
from mubench.optimization import build_optimizer, build_schedule
from mubench.parts.cut import part_of, taken
from mubench.parts.exchange import add_up_gradients, check_alike, make_alike, summed
from mubench.parts.normalisation import of_whole_batches
from mubench.progress import Reporter, Stage
from mubench.schema import Recipe

Loss = Callable[[Any], Tensor]  # of a prepared batch: one number, or (M,) of M models trained side by side
LOOK_EVERY = 32  # batches between looks at the losses: each look waits for the device


class Batches(Protocol):
    """A stream: the batches of one pass, and how many there are."""

    def __len__(self) -> int:
        """Batches a pass."""
        ...

    def batches(self, generator: torch.Generator | None, skip: int = 0) -> Iterator[Any]:
        """One pass, from batch `skip` on."""
        ...


@dataclass(frozen=True)
class Pass:
    """One pass over a stream under one loss; a training is a list of them."""

    stream: Batches
    loss: Loss


def train_mode(model: nn.Module) -> None:
    """Training mode, but normalisations whose weights are held stand still with their statistics."""
    model.train()
    if all(weight.requires_grad for weight in model.parameters()):
        return
    keep_from_crashing(model)
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._NormBase):
            module.train(any(weight.requires_grad for weight in module.parameters()))


def keep_from_crashing(model: nn.Module) -> None:
    """Plain memory for a network with group normalisation, part of whose weights are held, on the CPU.

    In channels_last memory torch (2.13) crashes there where the normalisation's weights move and nothing
    before it does: nn.GroupNorm(2, 16)(channels_last input without gradient).sum().backward().
    """
    on_cpu = all(weight.device.type == "cpu" for weight in model.parameters())
    if on_cpu and any(isinstance(module, nn.GroupNorm) for module in model.modules()):
        model.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]


def nothing() -> None:
    """The hook of a training that has none."""


@dataclass(frozen=True)
class Hooks:
    """Where a method reaches into the loop."""

    after_backward: Callable[[], None] = nothing  # gradients are whole, not yet clipped
    after_step: Callable[[], None] = nothing  # weights have moved
    after_pass: Callable[[int], None] | None = None  # a pass is done; such a training has no checkpoints


class _Counts:
    """Operations per example of each loss, counted at its first batch.

    Torch's counter takes operations apart, which rounds differently; a checkpoint holds the counts so
    that a resumed training counts where an uninterrupted one did, and ends in the same bits.
    """

    def __init__(self, losses: Sequence[Loss]) -> None:
        self._losses = losses
        self.of: dict[Loss, float] = {}

    def state_dict(self) -> dict[int, float]:
        """The counts by the first pass of their loss."""
        return {self._losses.index(loss): count for loss, count in self.of.items()}

    def load_state_dict(self, saved: Mapping[int, float]) -> None:
        """Know what was counted."""
        self.of = {self._losses[place]: count for place, count in saved.items()}


@dataclass
class Fit:
    """One training: passes under a recipe, resumable, every draw from a generator seeded by `seed`."""

    model: nn.Module
    passes: Sequence[Pass]
    recipe: Recipe
    engine: Engine
    seed: int
    reporter: Reporter
    title: str
    prepare: Callable[[Any, torch.Generator], Any]
    hooks: Hooks = field(default_factory=Hooks)
    checkpoint: Path | None = None
    parts: Mapping[str, Any] = field(default_factory=dict)  # more that a checkpoint holds, by name

    def __post_init__(self) -> None:
        steps = sum(-(-len(p.stream) // self.recipe.accumulate) for p in self.passes)
        self._trainable = [p for p in self.model.parameters() if p.requires_grad]
        self._optimizer = build_optimizer(self._trainable, self.recipe)
        self._schedule = build_schedule(self._optimizer, self.recipe, steps)
        self._counts = _Counts([p.loss for p in self.passes])
        parts = parts_of(self.model, self._optimizer, self._schedule)
        self._parts = {**parts, "operations": self._counts, **self.parts}
        self._state = State(self.seed)
        path = None if self.hooks.after_pass else self.checkpoint
        self._saver = Checkpoint(path, self.engine.settings.checkpoint_minutes)
        self._unseen: list[Tensor] = []  # losses not looked at yet
        self._reported = 0  # examples that the stage knows of

    @property
    def passed(self) -> int:
        """Whole passes done."""
        return self._state.passed

    def run(self) -> Effort:
        """Train; Diverged names the batch at which a loss or a weight ceased to be finite."""
        batches = sum(len(p.stream) for p in self.passes)
        seed = own_seed(self.seed)
        with (
            seeded(seed, self.engine.device),
            self.reporter.stage(self.title, batches) as stage,
            of_whole_batches(self.model),
        ):
            make_alike(self.model)
            if self._saver.load(self._parts, self._state):
                self.reporter.say(f"  {self.title}: resuming at step {self._state.steps}")
                stage.advance(self._state.batches, 0)
                self._reported = self._state.examples
            earlier = self._state.seconds
            self._began = time.perf_counter() - earlier
            train_mode(self.model)
            for number in range(self._state.passed, len(self.passes)):
                self._pass(number, stage)
            self._check_weights()
            check_alike(self.model, self.title)
        self.model.eval()
        state, seconds = self._state, time.perf_counter() - self._began
        return Effort(state.steps, state.examples, seconds, earlier, self._all_flops())

    def _pass(self, number: int, stage: Stage) -> None:
        current, state, losses = self.passes[number], self._state, []
        state.begin_pass()
        stream = current.stream.batches(state.order, skip=state.skip)
        for position, batch in enumerate(stream, start=state.skip + 1):
            self._batch(batch, current, position)
            state.advance(len(batch))
            whole = position == len(current.stream) or position % self.recipe.accumulate == 0
            if position == len(current.stream) or (whole and len(self._unseen) >= LOOK_EVERY):
                losses += self._look(stage)
                state.seconds = time.perf_counter() - self._began
                self._saver.save_if_due(self._parts, state)
        state.end_pass()
        if losses:
            stage.epoch(number + 1, loss=sum(losses) / len(losses), step=state.steps)
        if self.hooks.after_pass is not None:
            self.hooks.after_pass(number)

    def _batch(self, batch: Any, current: Pass, position: int) -> None:
        """Forward and backward of one batch, and the optimizer's step if its group is full."""
        prepared = self.prepare(batch, self._state.noise)
        total, size = len(current.stream), self.recipe.accumulate
        ragged = total % size if position > total - total % size else 0  # the last, smaller group
        part = part_of(batch.width)
        own = prepared if part.whole else prepared.part(part.rows)
        with taken(part), self._counting(current.loss, len(own)):
            with self.engine.autocast():
                losses = current.loss(own)
            loss = part.weighed(losses.sum())  # each of several models is moved by its own alone
            self.engine.accelerator.backward(loss if size == 1 else loss / (ragged or size))
        self._unseen.append(part.weighed(losses.detach().mean()))
        if position == total or position % size == 0:
            self._update()

    def _update(self) -> None:
        add_up_gradients(self._trainable)
        self.hooks.after_backward()
        if self.recipe.clip is not None:
            nn.utils.clip_grad_norm_(self._trainable, self.recipe.clip)
        self._optimizer.step()
        self._schedule.step()
        self._optimizer.zero_grad(set_to_none=True)
        self.hooks.after_step()
        self._state.steps += 1

    def _look(self, stage: Stage) -> list[float]:
        """The losses since the last look; Diverged if one is not finite."""
        losses: list[float] = summed(torch.stack(self._unseen).float()).tolist()
        count = len(losses)
        self._unseen.clear()
        for place, loss in enumerate(losses):
            if not abs(loss) < float("inf"):
                batch = self._state.batches - count + place + 1
                raise Diverged(
                    f"{self.title} diverged: the loss became {loss} at batch {batch} "
                    f"(learning rate {self.recipe.lr:g})"
                )
        stage.advance(count, self._state.examples - self._reported, losses[-1])
        self._reported = self._state.examples
        return losses

    def _check_weights(self) -> None:
        for name, weight in self.model.named_parameters():
            if not torch.isfinite(weight).all():
                raise Diverged(f"{self.title} diverged: {name} is not finite after the last step")

    @contextmanager
    def _counting(self, loss: Loss, examples: int) -> Iterator[None]:
        """Count the operations of each loss's first batch; a compiled model hides them."""
        if loss in self._counts.of or not self._countable:
            yield
            return
        with flop_counter() as counter:
            yield
        self._counts.of[loss] = counter.get_total_flops() / examples

    @property
    def _countable(self) -> bool:
        return self.engine.counts and not self.engine.settings.compile

    def _all_flops(self) -> float | None:
        """Operations of the whole training: those of one batch of each loss, times its examples."""
        if not self.passes:
            return 0.0
        if any(p.loss not in self._counts.of for p in self.passes):
            return None
        per_example = sum(self._counts.of[p.loss] * len(p.stream) for p in self.passes)
        return per_example / sum(len(p.stream) for p in self.passes) * self._state.examples
