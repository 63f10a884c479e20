"""A method's losses taken apart: evaluated on one batch, in double precision, with scores changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mubench.data import Batch, Paired
from mubench.training import Loss
from mubench.verify.subject import Outcome, Subject

SIZE = 6  # examples of a set in a batch

# (scores of a batch in double precision, that batch, whether a teacher's) -> the scores to go on with.
Change = Callable[[Tensor, Batch, bool], Tensor]


def unchanged(scores: Tensor, _batch: Batch, _teacher: bool) -> Tensor:
    """The scores as they are."""
    return scores


@dataclass(frozen=True)
class Term:
    """One loss that a method trained under, and a batch of its stream."""

    stream: str
    loss: Loss
    epoch: int  # of its first or last pass
    batch: Any  # prepared: Batch, or Paired


@dataclass(frozen=True)
class Lab:
    """The losses of a finished run, its model at the weights where it ended."""

    outcome: Outcome
    terms: tuple[Term, ...]

    @classmethod
    def of(cls, subject: Subject) -> Lab:
        """The different losses of the base run: the first and the last of each kind."""
        outcome = subject.base
        outcome.run.model.eval()
        kinds: dict[Any, list[tuple[str, Loss, int]]] = {}
        for stream, loss, number in outcome.run.notes.passes:
            kinds.setdefault((stream, getattr(loss, "__code__", loss)), []).append((stream, loss, number))
        chosen = [
            one for passes in kinds.values() for one in {p[1:]: p for p in (passes[0], passes[-1])}.values()
        ]
        return cls(outcome, tuple(Term(*one, cls._batch(outcome, one[0])) for one in chosen))

    @staticmethod
    def _batch(outcome: Outcome, stream: str) -> Any:
        """A prepared batch of a stream: rows of D_f first where both sets are in it."""
        run = outcome.run

        def take(name: str) -> Batch:
            columns = run.columns["validation" if name == "validation" else "train"]
            return columns.take(run.rows[name][:SIZE], run.engine.device)

        if stream == "paired":
            pair = Paired(take("forget"), take("retain"))
            return run.prepare(cut(pair, slice(0, min(len(pair.forget), len(pair.retain)))))
        if stream == "mixed":
            rows = torch.cat([run.rows[name][: SIZE // 2] for name in ("forget", "retain")])
            return run.prepare(run.columns["train"].take(rows, run.engine.device))
        return run.prepare(take(stream))

    def value(self, term: Term, change: Change = unchanged, batch: Any = None) -> Tensor:
        """The loss with the model's and the teachers' scores changed; a scalar."""
        run, plain = self.outcome.run, self.plain

        def on_logits(model: nn.Module, given: Batch) -> Tensor:
            return change(plain(model, given).double(), given, model is not run.model)

        run.pinned = term.epoch
        setattr(run.modality, "on_logits", on_logits)  # noqa: B010
        try:
            return term.loss(term.batch if batch is None else batch)
        finally:
            run.pinned = None
            setattr(run.modality, "on_logits", None)  # noqa: B010

    def plain(self, model: nn.Module, batch: Batch) -> Tensor:
        """Scores as the modality gives them."""
        kind: Any = type(self.outcome.run.modality).__base__  # below the one that has scores changed
        found: Tensor = kind.logits(self.outcome.run.modality, model, batch)
        return found

    def calls(self, term: Term) -> list[tuple[Tensor, Batch, bool]]:
        """The scores that the loss asks for, in order."""
        found: list[tuple[Tensor, Batch, bool]] = []

        def note(scores: Tensor, batch: Batch, teacher: bool) -> Tensor:
            found.append((scores, batch, teacher))
            return scores

        self.value(term, note)
        return found

    def gradients(self, term: Term, change: Change = unchanged) -> Iterator[tuple[Tensor, Batch]]:
        """The gradient of the loss by the model's scores, for each batch that it was asked for."""
        probes: list[tuple[Tensor, Batch]] = []

        def probe(scores: Tensor, batch: Batch, teacher: bool) -> Tensor:
            scores = change(scores, batch, teacher)
            if teacher or not torch.is_grad_enabled():
                return scores
            leaf = torch.zeros_like(scores, requires_grad=True)
            probes.append((leaf, batch))
            return scores + leaf

        value = self.value(term, probe)
        leaves = [leaf for leaf, _ in probes]
        found = torch.autograd.grad(value, leaves, allow_unused=True) if leaves else ()
        for gradient, (leaf, batch) in zip(found, probes, strict=True):
            yield (torch.zeros_like(leaf) if gradient is None else gradient), batch


def cut(batch: Any, rows: Any) -> Any:
    """Some rows of a batch, of both sides of a pair."""
    if isinstance(batch, Paired):
        return Paired(cut(batch.forget, rows), cut(batch.retain, rows))
    return Batch({k: v[rows] for k, v in batch.inputs.items()}, batch.targets[rows], batch.index[rows])
