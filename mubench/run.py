"""All that a method sees: the model, the sets it declared, its losses, and the loop."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from mubench import processes
from mubench.curricula.base import Curriculum, Uniform
from mubench.data import Batch, Columns, Paired, PairedStream, Stream
from mubench.effort import Effort
from mubench.engine import Engine
from mubench.errors import UsageError
from mubench.gradients import Judged, Score, per_example, size
from mubench.modalities.base import Modality
from mubench.models import ModelSpec, teacher_seed
from mubench.parts.cut import whole
from mubench.parts.exchange import add_up_gradients
from mubench.progress import Reporter
from mubench.relabelling import WrongTargets
from mubench.remembered import Tables
from mubench.schema import Recipe
from mubench.tally import Tally
from mubench.training import Batches, Fit, Hooks, Loss, Pass, keep_from_crashing, train_mode

StreamName = Literal["forget", "retain", "paired", "mixed"]


@dataclass
class Run:
    """One unlearning: `model` starts as the original and ends unlearned."""

    model: nn.Module
    spec: ModelSpec
    modality: Modality
    columns: Mapping[str, Columns]  # train; validation where the method declared it
    rows: Mapping[str, Tensor]  # forget, retain, validation: only the sets the method declared
    recipe: Recipe
    engine: Engine
    seed: int
    reporter: Reporter
    checkpoints: Path | None = None
    attach: Callable[[nn.Module], nn.Module] = lambda model: model  # what the adapter makes of a network
    curriculum: Curriculum = field(default_factory=Uniform)
    hooks: Hooks = field(default_factory=Hooks)
    effort: Effort = field(default_factory=Effort)
    parts: dict[str, Any] = field(default_factory=dict)  # state of the method's own that checkpoints hold

    def __post_init__(self) -> None:
        self._fits, self._tables = 0, Tables()
        self._fit: Fit | None = None

    # The sets ---------------------------------------------------------------------------------

    def stream(self, name: StreamName | str) -> Batches:
        """Batches of D_f, of D_r, of both shuffled together (mixed), or side by side (paired)."""
        if name == "paired":
            return PairedStream(self._stream(self._rows("forget")), self._stream(self._rows("retain")))
        if name == "mixed":
            return self._stream(torch.cat([self._rows("forget"), self._rows("retain")]))
        return self._stream(self._rows(name), "validation" if name == "validation" else "train")

    def _stream(self, rows: Tensor, split: str = "train") -> Stream:
        return Stream(self.columns[split], rows, self.recipe.batch_size, self.engine.device)

    def _rows(self, name: str) -> Tensor:
        if name not in self.rows:
            raise UsageError(f"the method reads the {name} set without declaring it in `needs`")
        return self.rows[name]

    def in_forget(self, batch: Batch) -> Tensor:
        """Which rows of a mixed batch (B,) belong to D_f."""
        return self._forget_mask[batch.index]

    @cached_property
    def _forget_mask(self) -> Tensor:
        mask = torch.zeros(len(self.columns["train"]), dtype=torch.bool)
        mask[self._rows("forget")] = True
        return mask.to(self.engine.device)

    # The models -------------------------------------------------------------------------------

    @cached_property
    def original(self) -> nn.Module:
        """The model before unlearning: frozen, in evaluation mode. Read it before the first step."""
        if self._fits:
            raise RuntimeError("run.original must be read before the model moves")
        return copy.deepcopy(self.model).requires_grad_(False).eval()

    def fresh_model(self) -> nn.Module:
        """The same architecture, every parameter freshly initialised: frozen, in evaluation mode."""
        return self._fresh().requires_grad_(False).eval()

    def fresh_weights(self) -> dict[str, Tensor]:
        """Weights and buffers of a freshly initialised network by the model's own names, adapter included."""
        return self.attach(self._fresh()).state_dict()

    def _fresh(self) -> nn.Module:
        return self.engine.place(self.spec.fresh(teacher_seed(self.seed)))

    @property
    def classes(self) -> int:
        """Outputs of the model's head, 0 where it gives no classes."""
        return self.modality.outputs(self.spec.classes)

    @property
    def weights(self) -> dict[str, Tensor]:
        """The weights that may move, by name: under an adapter its own and the head's."""
        return {name: w for name, w in self.model.named_parameters() if w.requires_grad}

    @contextmanager
    def only(self, names: Collection[str]) -> Iterator[None]:
        """Inside, of the weights that may move only these do; around the others normalisation rests."""
        still = [w for name, w in self.weights.items() if name not in names]
        if still:
            keep_from_crashing(self.model)
        for weight in still:
            weight.requires_grad_(False)
        try:
            yield
        finally:
            for weight in still:
                weight.requires_grad_(True)

    def generator(self, number: int = 0) -> torch.Generator:
        """A generator on the CPU for draws of the method's own; each number is another one."""
        return torch.Generator().manual_seed(self.seed * 1_000_003 + 900_001 + number)

    def logits(self, batch: Batch, model: nn.Module | None = None) -> Tensor:
        """Scores of the model, or of a teacher: then without gradient, and remembered where that serves."""
        if model is None:
            return self.modality.logits(self.model, batch)
        with torch.no_grad():
            if not self.modality.remembers:
                return self.modality.logits(model, batch)
            table = self._tables.of(model, len(self.columns["train"]))
            return table.outputs(batch.index, lambda: self.modality.logits(model, batch))

    # The losses, per example ------------------------------------------------------------------

    whole = staticmethod(whole)  # values of the rows at hand, with those that other processes work on

    def losses(self, batch: Batch, model: nn.Module | None = None) -> Tensor:
        """The task's loss on the batch's targets, (B,)."""
        return self.modality.losses(self.logits(batch, model), batch.targets)

    def divergence(
        self, batch: Batch, teacher: nn.Module, temperature: float = 1.0, logits: Tensor | None = None
    ) -> Tensor:
        """KL(teacher || model) per example, (B,); `logits` are the model's, if they are known already."""
        taught = self.logits(batch, teacher)
        scores = self.logits(batch) if logits is None else logits
        return self.modality.divergence(taught, scores, batch.targets, temperature)

    def relabel(self, batch: Batch, redraw: Literal["once", "epoch"] | str = "once") -> Batch:
        """The batch with its D_f rows' targets replaced by random wrong ones, drawn once or each pass."""
        return self._wrong.put_in(batch, self.in_forget(batch), self.epoch if redraw == "epoch" else 0)

    @cached_property
    def _wrong(self) -> WrongTargets:
        return WrongTargets(
            self.columns["train"], self._rows("forget"), self._rows("retain"), self.modality,
            self.spec.classes, self.seed, self.engine.device,
        )  # fmt: skip

    def reduce(self, losses: Tensor, term: str = "") -> Tensor:
        """Per-example losses (B,) to a scalar, as the curriculum weighs them; a method names its terms."""
        return self.curriculum.reduce(losses, term)

    # The work ---------------------------------------------------------------------------------

    def fit(
        self,
        stream: StreamName | str,
        loss: Loss,
        epochs: int | None = None,
        after_pass: Callable[[int], None] | None = None,
    ) -> None:
        """Train on one stream under one loss, for the recipe's epochs if none are given."""
        self.fit_passes([(stream, loss)] * (self.recipe.epochs if epochs is None else epochs), after_pass)

    def fit_passes(
        self,
        passes: Sequence[tuple[StreamName | str, Loss]],
        after_pass: Callable[[int], None] | None = None,
    ) -> None:
        """Train on a list of passes, each its stream and loss, under one optimizer and schedule."""
        streams = {name: self.stream(name) for name, _ in passes}
        hooks, folder = replace(self.hooks, after_pass=after_pass), self.checkpoints
        self.curriculum.begin(self.classes)
        self._fit = Fit(
            self.model, [Pass(streams[name], loss) for name, loss in passes], self.recipe, self.engine,
            self.seed + 7919 * self._fits, self.reporter,
            f"unlearn {self._fits + 1}" if self._fits else "unlearn",
            self.prepare, hooks, folder / f"fit{self._fits}.pt" if folder else None,
            {"curriculum": self.curriculum, "teachers": self._tables, **self.parts},
        )  # fmt: skip
        self._fits += 1
        self.effort.begin(self.engine.synchronise)
        self.effort.add(self._fit.run())

    @cached_property
    def tally(self) -> Tally:
        """Counts operations of work outside the loop."""
        return Tally(self.effort, self.engine, self.modality, self.model)

    @property
    def epoch(self) -> int:
        """Passes done of the training that is under way."""
        return self._fit.passed if self._fit else 0

    def prepare(self, batch: Batch | Paired, generator: torch.Generator | None = None) -> Any:
        """The batch as the model takes it; augmented if there is a generator."""
        if isinstance(batch, Paired):
            return batch.parted(self.prepare(batch.joined(), generator))
        return self.modality.prepare(batch, self.spec.input, generator)

    def error(self, name: str, labels_of: str | None = None) -> float:
        """The mean error on a set, such as the share it gets wrong; only of labels that another set has."""
        return processes.shared(lambda: self._error(name, labels_of))

    @torch.no_grad()
    def _error(self, name: str, labels_of: str | None) -> float:
        training, rows, wrong, seen = self.model.training, self._rows(name), 0.0, 0
        split = name if name == "validation" else "train"
        self.model.eval()
        if labels_of is not None:
            known = self.columns["train"].labels[self._rows(labels_of).numpy()]
            rows = rows[torch.from_numpy(np.isin(self.columns[split].labels[rows.numpy()], known))]
        for batch in self._stream(rows, split).batches(None):
            prepared = self.prepare(batch)
            self.tally.scores(prepared)
            wrong += float(self.modality.errors(self.logits(prepared), prepared.targets).sum())
            seen += len(batch)
        if training:
            train_mode(self.model)
        return wrong / seen if seen else float("nan")

    def gradients(self, source: str | Stream) -> dict[str, Tensor]:
        """The gradient of the mean loss over a set or a sample at the current weights, in evaluation mode."""
        self.model.eval()
        self.model.zero_grad(set_to_none=True)
        stream, started = self.stream(source) if isinstance(source, str) else source, time.perf_counter()
        total = len(self._rows(source) if isinstance(source, str) else source.rows)
        prepared = self.tally.through(self.prepare(batch) for batch in stream.batches(None))
        for batch in (batch for number, batch in enumerate(prepared) if processes.mine(number)):
            with self.engine.autocast():
                loss = self.losses(batch).sum() / total
            self.engine.accelerator.backward(loss)
        add_up_gradients([*self.model.parameters()])
        self.engine.synchronise()
        self.effort.add(Effort(0, total, time.perf_counter() - started))
        found = {n: p.grad for n, p in self.model.named_parameters() if p.grad is not None}
        self.model.zero_grad(set_to_none=True)
        return found

    def sample(self, name: str, count: int, number: int = 0) -> Stream:
        """A random sample of a set, all of it if there is no more; each number is another draw."""
        rows = self._rows(name)
        return self._stream(rows[torch.randperm(len(rows), generator=self.generator(number))[:count]])

    def per_example(
        self, source: str | Stream, score: Score | None = None, judged: Judged | None = None
    ) -> Iterator[dict[str, Tensor]]:
        """Gradients (b, *shape) of each example of a set or a sample at the current weights, b at a time.

        Of the task's loss, or of what `score` makes of an example's scores; see `mubench.gradients`.
        """
        self.model.eval()
        stream = self.stream(source) if isinstance(source, str) else source
        prepared = self.tally.through(self.prepare(batch) for batch in stream.batches(None))
        started = time.perf_counter()
        for part in per_example(self.model, self.modality, prepared, score, judged):
            self.effort.add(Effort(0, size(part), time.perf_counter() - started))
            yield part
            started = time.perf_counter()
