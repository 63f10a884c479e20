"""How many models to train at once: tried out, since torch.func does not map all and does not always gain.

One batched step does the work of many. On a GPU, and for networks whose steps are so small that calling
torch is most of them, it takes hardly longer than one; where one model's arithmetic fills a processor, and
above all for convolutions on a CPU, it can take longer than the steps one after the other.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from mubench import artifacts
from mubench.data import Batch, Stream
from mubench.models import seeded, shadow_seed
from mubench.optimization import elementwise
from mubench.progress import Reporter
from mubench.shadows import abreast
from mubench.shadows.stack import Stack
from mubench.workbench import Workbench

MOST = 16  # models at once
WEIGHTS = 2**26  # of all of them together: with gradients and Adam's averages, 1 GB
BATCHES = 3  # of a timed training
ROUNDS = 2  # the first of which warms up
NEAR = 1e-3  # losses and gradients of a network in a stack to its own, relative to the whole: rounding only


@dataclass(frozen=True)
class Way:
    """How shadow models are trained."""

    at_once: int
    why: str

    def __str__(self) -> str:
        many = f"{self.at_once} at a time" if self.at_once > 1 else "one after the other"
        return f"{many}: {self.why}"


def choose(bench: Workbench, rows: Tensor) -> Way:
    """The fastest way to train the run's shadow models on some rows; `trainer.at_once` may bound it."""
    settings = bench.config.settings
    wanted, count = settings.trainer.at_once, settings.shadows
    weights = sum(weight.numel() for weight in bench.spec.fresh(0).parameters())
    most = min(count, MOST if wanted is None else wanted)
    if most < 2:
        return Way(1, "there is one" if count < 2 else f"trainer.at_once={wanted}")
    if not elementwise(settings.training):
        return Way(
            1, f"optimizer '{settings.training.optimizer['name']}' sees more than one weight at a time"
        )
    if wanted is None:
        most = min(most, WEIGHTS // weights)
    if most < 2:
        return Way(1, f"each has {weights:,} weights, and at most {WEIGHTS:,} are stacked (trainer.at_once)")
    return _tried(bench, rows, most)


def _tried(bench: Workbench, rows: Tensor, most: int) -> Way:
    """The way that a few steps of each show to be the faster, if torch.func maps the network at all."""
    while most > 1:
        try:
            return _timed(bench, rows, most)
        except torch.OutOfMemoryError:
            most //= 2
    return Way(1, "the device has no memory for two")


def _timed(bench: Workbench, rows: Tensor, most: int) -> Way:
    seeds = [shadow_seed(0, number) for number in range(most)]
    try:
        networks = [_start(bench, seed) for seed in seeds]
        stack = Stack(networks)
        if (reason := _mismatch(bench, stack, networks, rows)) is not None:
            return Way(1, reason)
        brief = _brief(bench)
        some = rows[: BATCHES * bench.config.settings.training.batch_size]
        single = bench.engine.place(networks[-1])
        alone = _seconds(lambda: artifacts.fit(brief, single, some, None, "trial", 0))
        together = _seconds(lambda: abreast.training(brief, stack, seeds, some, None, "trial").run())
    except (RuntimeError, NotImplementedError, ValueError) as error:
        if "vmap" not in str(error):
            raise
        return Way(1, f"torch.func cannot map this network ({str(error).split('. ')[0].strip()})")
    steps = -(-len(some) // bench.config.settings.training.batch_size)
    told = (
        f"a step of {most} takes {1000 * together / steps:.3g} ms at once, "
        f"{1000 * most * alone / steps:.3g} ms one after the other"
    )
    chosen = bench.config.settings.trainer.at_once is not None
    return Way(most if chosen or together < most * alone else 1, told)


def _start(bench: Workbench, seed: int) -> nn.Module:
    return bench.spec.start(seed).to(bench.engine.device)


def _brief(bench: Workbench) -> Workbench:
    """The workbench with a recipe of one epoch, nothing said and nothing counted."""
    settings = bench.config.settings
    short = replace(settings, training=replace(settings.training, epochs=1))
    config = replace(bench.config, settings=short)
    engine = replace(bench.engine, counts=False)
    return replace(bench, config=config, engine=engine, reporter=Reporter(quiet=True))


def _seconds(train: Callable[[], object]) -> float:
    """The least that a training took, after others that warmed up."""
    found = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        train()
        found.append(time.perf_counter() - started)
    return min(found[1:])


def _mismatch(bench: Workbench, stack: Stack, networks: list[nn.Module], rows: Tensor) -> str | None:
    """What is wrong if the networks' losses or gradients in the stack are not their own, None if they are."""
    modality, size = bench.modality, bench.config.settings.training.batch_size
    batch = Stream(bench.columns["train"], rows[:size], size, bench.engine.device).batches(None)
    noises = [torch.Generator().manual_seed(0) for _ in networks]
    whole = abreast.prepared(abreast.repeated(next(batch), len(networks)), modality, bench.spec.input, noises)
    with seeded(0, bench.engine.device):
        stacked = stack.eval().losses(modality, whole)
        stacked.sum().backward()
        for place, network in enumerate(networks):
            own = _loss(bench, network.eval(), whole, place)
            own.backward()
            if not (
                torch.allclose(stacked[place], own, NEAR, NEAR) and _same_gradients(stack, place, network)
            ):
                return "mapped over by torch.func, this network's losses or gradients are not its own"
            network.zero_grad()
    stack.zero_grad()
    return None


def _same_gradients(stack: Stack, place: int, network: nn.Module) -> bool:
    """Whether each weight's gradient in the stack is as near its own as the whole gradient's size allows."""
    pairs = [
        (stack.of(name).grad, weight.grad)
        for name, weight in network.named_parameters()
        if weight.requires_grad
    ]
    known = [(mine[place], own) for mine, own in pairs if mine is not None and own is not None]
    largest = NEAR * torch.stack([own.norm() for _, own in known]).norm()
    return all((mine is None) == (own is None) for mine, own in pairs) and all(
        bool((mine - own).norm() <= largest) for mine, own in known
    )


def _loss(bench: Workbench, network: nn.Module, whole: Batch, place: int) -> Tensor:
    inputs = {name: values[place] for name, values in whole.inputs.items()}
    part = Batch(inputs, whole.targets[place], whole.index[place])
    return bench.modality.losses(bench.modality.scores(network, part), part.targets).mean()
