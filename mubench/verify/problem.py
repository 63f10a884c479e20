"""A problem small enough to unlearn dozens of times: some rows of a task, its own network, short training."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mubench import encoding, models
from mubench.adapters.base import Adapter, NoAdapter
from mubench.config import RunConfig
from mubench.curricula.base import Curriculum, Uniform
from mubench.data import Columns, Stream
from mubench.engine import Engine
from mubench.methods.base import Method
from mubench.modalities.base import Modality
from mubench.models import ModelSpec
from mubench.progress import Reporter
from mubench.schema import Recipe, Trainer
from mubench.training import Fit, Pass
from mubench.typed import component
from mubench.verify.watched import Heard, Seen, Watched

ADAMW = {"name": "adamw", "_target_": "torch.optim.AdamW"}
SGD = {"name": "sgd", "_target_": "torch.optim.SGD", "momentum": 0.9}
RECIPE = {"epochs": 2, "batch_size": 4, "schedule": "constant", "optimizer": ADAMW}
FORGET, RETAIN, OTHERS, HELD_OUT = 10, 17, 3, 12  # rows; no multiples of the batch
SEED = 3
QUIET = Reporter(quiet=True)


@dataclass(frozen=True)
class Problem:
    """What a Run needs. Training rows that are in neither set are there to be left alone."""

    task: str
    model: str
    modality: Modality
    spec: ModelSpec
    train: Columns
    held_out: Columns  # rows of no training: validation, and test
    forget: Tensor  # rows (n_f,) of train
    retain: Tensor  # rows (n_r,)
    lr: float
    recipe: Mapping[str, Any] = field(default_factory=dict)
    trained: int = 3  # epochs that the original sees

    def serves(self, method: Method) -> bool:
        """Whether the method says that it applies."""
        return method.serves(self.modality)

    @cached_property
    def original(self) -> nn.Module:
        """The original: trained briefly on both sets."""
        model = self.engine().place(self.spec.fresh(0))
        rows = torch.cat([self.forget, self.retain])
        stream = Stream(self.train, rows, 8, self.engine().device)

        def prepare(batch: Any, generator: torch.Generator) -> Any:
            return self.modality.prepare(batch, self.spec.input, generator)

        def loss(batch: Any) -> Tensor:
            return self.modality.losses(self.modality.logits(model, batch), batch.targets).mean()

        recipe = self._recipe({"epochs": self.trained})
        passes = [Pass(stream, loss)] * self.trained
        Fit(model, passes, recipe, self.engine(), 0, QUIET, "original", prepare).run()
        return model

    @property
    def spare(self) -> Tensor:
        """Rows of train in neither set."""
        held = torch.cat([self.forget, self.retain])
        rows = torch.arange(len(self.train))
        return rows[~torch.isin(rows, held)][:OTHERS]

    def engine(self, checkpoint_minutes: float = 10) -> Engine:
        """One thread of the CPU: the same bits everywhere, and fastest for so little."""
        return Engine(
            Trainer(device="cpu", precision="fp32", threads=1, checkpoint_minutes=checkpoint_minutes),
            counts=False,
        )

    def _recipe(self, changes: Mapping[str, Any]) -> Recipe:
        return Recipe(**{**RECIPE, "lr": self.lr, **self.recipe, **changes})

    def run(
        self,
        method: Method,
        *,
        forget: Tensor | None = None,
        retain: Tensor | None = None,
        seed: int = SEED,
        adapter: Adapter | None = None,
        checkpoints: Path | None = None,
        curriculum: Curriculum | None = None,
        spoilt: bool = False,
        **recipe: Any,
    ) -> Watched:
        """A run of the method from the original's weights, with only the sets that it declares.

        `spoilt` puts other examples in the place of every row that no declared set holds.
        """
        parts = {"forget": self.forget if forget is None else forget,
                 "retain": self.retain if retain is None else retain,
                 "validation": torch.arange(len(self.held_out))}  # fmt: skip
        rows = {name: parts[name].clone() for name in sorted(method.reads)}
        engine = self.engine(0 if checkpoints else 10)
        attach = partial(_attached, adapter or NoAdapter(), self._classes)
        columns = {"train": self._seen(self.train, rows, spoilt), "test": Seen.of(self.held_out)}
        if "validation" in rows:
            columns["validation"] = Seen.of(self.held_out)
        run = Watched(
            attach(copy.deepcopy(self.original)), self.spec, Heard.of(self.modality), columns, rows,
            self._recipe(recipe), engine, seed, QUIET, checkpoints=checkpoints, attach=attach,
            curriculum=curriculum or Uniform(),
        )  # fmt: skip
        run.hooks = method.hooks(run)
        return run

    @property
    def _classes(self) -> int:
        return self.spec.classes if "classes" in self.modality.gives else 0

    def _seen(self, columns: Columns, rows: Mapping[str, Tensor], spoilt: bool) -> Seen:
        """A copy; with `spoilt`, rows that no set holds repeat rows that one does."""
        order = torch.arange(len(columns))
        declared = [part for name, part in rows.items() if name != "validation"]
        if spoilt and declared:
            held = torch.cat(declared)
            others = torch.ones(len(columns), dtype=torch.bool)
            others[held] = False
            order[others] = held.repeat(len(columns))[: int(others.sum())]
        return Seen.of(columns.subset(order.numpy()))


def _attached(adapter: Adapter, classes: int, model: nn.Module) -> nn.Module:
    return adapter.attach(model, classes, SEED, QUIET)


def of_config(config: RunConfig, whole_class: bool = False) -> Problem:
    """A few dozen rows of a config's task, with its network; D_f is all rows of a class if it must be."""
    settings = config.settings
    modality: Modality = component(settings.modality, "modality")
    task = component(settings.task, "task")
    data = encoding.load(task, modality, settings.model, config.out, QUIET)
    spec = models.describe(settings.model, data, modality)
    count = FORGET + RETAIN + OTHERS
    rng = np.random.default_rng(SEED)
    rows = rng.permutation(len(data["train"]))[: count + HELD_OUT]
    train = data["train"].subset(rows[:count])
    held_out = data.splits.get("validation")
    held_out = data["train"].subset(rows[count:]) if held_out is None else held_out.subset(
        np.arange(min(HELD_OUT, len(held_out)))
    )  # fmt: skip
    forget, retain = _parted(train, whole_class)
    return Problem(
        config.key["task"], config.key["model"], modality, spec, train, held_out, forget, retain,
        settings.training.lr,
    )  # fmt: skip


def _parted(train: Columns, whole_class: bool) -> tuple[Tensor, Tensor]:
    """D_f and D_r, some rows in neither; a whole class is the most frequent one."""
    order = np.arange(len(train))
    if not whole_class:
        return torch.from_numpy(order[:FORGET]), torch.from_numpy(order[FORGET : FORGET + RETAIN])
    labels = train.labels
    chosen = labels == np.bincount(labels).argmax()
    retain = order[~chosen]
    return torch.from_numpy(order[chosen]), torch.from_numpy(retain[: max(1, len(retain) - OTHERS)])
