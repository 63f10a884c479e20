"""Relearning: fine-tuning brings back what was hidden sooner than what was never learned.

Siddiqui et al., 2505.22310.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from mubench import evaluation
from mubench.attacks.base import Attack, Target, columns, several
from mubench.attacks.noise import shaken
from mubench.data import Batch, Stream
from mubench.engine import Engine
from mubench.errors import Diverged
from mubench.metrics.base import Curves
from mubench.progress import Reporter
from mubench.schema import one_of, within
from mubench.training import Fit, Hooks, Pass, train_mode

Look = Callable[[int], None]  # at the network, after so many steps
SOURCES = ("forget", "retain", "test", "corrupted")
HALVED = ("forget", "corrupted")  # sources of which a half is held back, to be measured on


@dataclass
class Relearn(Attack):
    """Fine-tune all weights on examples of one source, and look at D_f after so many optimizer steps.

    Of D_f itself a half is learned, plain or under noise, and the other half measured: any model learns what
    it is shown. Of the test set a half is learned; its metrics are of the other half, whatever the source.
    The rate is constant, the seed seed.eval, the optimizer that of the task's training.
    """

    sources: list[str] = field(default_factory=lambda: list(SOURCES))
    steps: list[int] = field(default_factory=lambda: [1, 2, 4, 8, 16, 32])  # at which it is looked at
    lr: float = 1e-4
    batch_size: int = 32
    sigma: float = 0.5  # of the noise on the corrupted half of D_f, in an example's own spread

    source: ClassVar[tuple[str, ...]] = ("siddiqui2025",)
    formula: ClassVar[str] = "min mean CE on D_f / 2, D_r, test / 2 or D_f / 2 under noise, step by step"

    def __post_init__(self) -> None:
        super().__post_init__()
        several("sources", self.sources)
        several("steps", self.steps)
        for source in self.sources:
            one_of("sources", source, SOURCES)
        for steps in self.steps:
            within("steps", steps, 1, 1e6)
        within("lr", self.lr, 0, 1e3, "(]")
        within("batch_size", self.batch_size, 1, 1e7)
        within("sigma", self.sigma, 0, 1e3)

    def curves(self, target: Target) -> Curves:
        """A series for each source: split metrics of D_f and of the held half of test by `steps`."""
        return {source: self._curve(target, source) for source in self.sources}

    def _curve(self, target: Target, source: str) -> dict[str, list[float | None]] | str:
        learned, measured = self.split(target, source)
        empty = [name for name, rows in {"learned": learned, **measured}.items() if not len(rows)]
        if empty:
            return f"too few examples to relearn from {source}: none is left to be {' or '.join(empty)}"
        network = target.copy()
        points = [{"steps": 0.0, **evaluation.measure(target.bench, network, measured)}]

        def look(steps: int) -> None:
            if steps in self.steps:
                points.append({"steps": float(steps), **evaluation.measure(target.bench, network, measured)})
                train_mode(network)

        try:
            self._learn(target, source, network, learned, look)
        except Diverged as error:
            return str(error)
        return columns(points)

    def split(self, target: Target, source: str) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Rows to learn from, and the rows of forget and test to measure on; the two never meet."""
        rows = evaluation.rows_of(target.bench)
        halves = {name: _halves(rows[name], target.seed) for name in ("forget", "test")}
        forget = halves["forget"][1] if source in HALVED else rows["forget"]
        learned = {"retain": target.bench.split.retain, "test": halves["test"][0]}
        measured = {"forget": forget, "test": halves["test"][1]}
        some = {name: target.sample(found, self.examples) for name, found in measured.items()}
        return learned.get(source, halves["forget"][0]), some

    def _learn(self, target: Target, source: str, network: nn.Module, rows: np.ndarray, look: Look) -> None:
        bench, modality, count = target.bench, target.bench.modality, 0
        columns = bench.columns["test" if source == "test" else "train"]
        stream = Stream(columns, torch.from_numpy(rows), self.batch_size, bench.engine.device)

        def loss(batch: Batch) -> Tensor:
            noisy = source == "corrupted"
            scores = (
                shaken(target, network, batch, self.sigma, 0) if noisy else modality.logits(network, batch)
            )
            return modality.losses(scores, batch.targets).mean()

        def after_step() -> None:
            nonlocal count
            count += 1
            look(count)

        recipe = replace(
            bench.config.settings.training, epochs=1, lr=self.lr, batch_size=self.batch_size,
            schedule="constant", warmup=0.0, accumulate=1,
        )  # fmt: skip
        Fit(
            network, [Pass(Rounds(stream, max(self.steps)), loss)], recipe,
            Engine(bench.engine.settings, counts=False), target.seed, Reporter(quiet=True),
            f"relearning from {source}",
            lambda batch, generator: modality.prepare(batch, bench.spec.input, generator),
            Hooks(after_step=after_step),
        ).run()  # fmt: skip


@dataclass(frozen=True)
class Rounds:
    """So many batches of one stream, which is gone through as often as that takes."""

    stream: Stream
    count: int

    def __len__(self) -> int:
        """Batches in all."""
        return self.count

    def batches(self, generator: torch.Generator | None, skip: int = 0) -> Iterator[Batch]:
        """From batch `skip` on, every round shuffled anew."""
        given = 0
        while given < self.count:
            for batch in self.stream.batches(generator):
                if skip <= given < self.count:
                    yield batch
                given += 1


def _halves(rows: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The rows in two random parts, each in its order; the first is the smaller by at most one."""
    order = np.random.default_rng(seed).permutation(rows)
    return np.sort(order[: len(rows) // 2]), np.sort(order[len(rows) // 2 :])
