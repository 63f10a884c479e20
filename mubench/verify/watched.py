"""A run that notes what a method does with it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from mubench.data import Batch, Columns
from mubench.modalities.base import Modality
from mubench.run import Run, StreamName
from mubench.training import Batches, Loss

RECENT = 4  # outputs in which the rows of a loss are looked for


@dataclass(frozen=True)
class Seen(Columns):
    """Columns that know which rows were taken from them."""

    taken: list[Tensor] = field(default_factory=list)  # rows (B,) of every batch
    given: list[Tensor] = field(default_factory=list)  # its `index`, the very object
    readers: list[str] = field(default_factory=list)  # a run's sets, for each run that reads here

    @classmethod
    def of(cls, columns: Columns) -> Seen:
        """The same columns, nothing taken yet."""
        names = ("inputs", "targets", "ids", "classes", "groups")
        return cls(**{name: getattr(columns, name) for name in names})

    def take(self, rows: Tensor, device: torch.device) -> Batch:
        """The batch, noted."""
        batch = super().take(rows, device)
        self.taken.append(rows.cpu())
        self.given.append(batch.index)
        return batch


class Heard:
    """Makes a modality's copy that tells what losses are asked for, and may have its scores changed."""

    @staticmethod
    def of(modality: Modality) -> Modality:
        """A copy under a class of its own, so that what is done to it leaves the modality alone."""
        kind = type(modality)

        def losses(self: Any, logits: Tensor, targets: Tensor) -> Tensor:
            if self.on_losses is not None:
                self.on_losses(logits, targets)
            found: Tensor = kind.losses(self, logits, targets)
            return found

        def logits(self: Any, model: nn.Module, batch: Batch) -> Tensor:
            if self.on_logits is not None:
                found: Tensor = self.on_logits(model, batch)
                return found
            return kind.logits(self, model, batch)

        def remembers(self: Any) -> bool:
            return self.on_logits is None and bool(kind.remembers.fget(self))  # type: ignore[attr-defined]

        content = {"losses": losses, "logits": logits, "remembers": property(remembers)}
        twin = copy.copy(modality)
        twin.__class__ = type(kind.__name__, (kind,), {**content, "on_losses": None, "on_logits": None})
        return twin


@dataclass
class Notes:
    """What happened in a run."""

    streams: set[str] = field(default_factory=set)  # asked for by name
    passes: list[tuple[str, Loss, int]] = field(default_factory=list)  # in order; its number in its training
    labels: list[tuple[Tensor, Tensor]] = field(default_factory=list)  # rows (B,), the targets of a loss
    leaked: set[str] = field(default_factory=set)  # weights that moved outside the scope of `run.only`
    drew: bool = False  # something hung on the seed


class Watched(Run):
    """A Run whose `notes` tell what was asked of it."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.notes = Notes()
        self.pinned: int | None = None  # the epoch that it is, whatever was trained
        self._outputs: list[tuple[Tensor, Tensor]] = []
        for columns in self.columns.values():
            if isinstance(columns, Seen):
                columns.readers.append(",".join(sorted(self.rows)))
        setattr(self.modality, "on_losses", self._hear)  # noqa: B010

    def stream(self, name: StreamName | str) -> Batches:
        """Noted."""
        self.notes.streams.add(name)
        return super().stream(name)

    def fit_passes(
        self,
        passes: Sequence[tuple[StreamName | str, Loss]],
        after_pass: Callable[[int], None] | None = None,
    ) -> None:
        """Noted."""
        self.notes.passes += [(stream, loss, number) for number, (stream, loss) in enumerate(passes)]
        self.notes.drew = True
        super().fit_passes(passes, after_pass)

    @contextmanager
    def only(self, names: Collection[str]) -> Iterator[None]:
        """The weights outside the scope are compared, bit by bit."""
        still = {name: w.detach().clone() for name, w in self.weights.items() if name not in names}
        with super().only(names):
            yield
        weights = dict(self.model.named_parameters())
        self.notes.leaked |= {name for name, w in still.items() if not torch.equal(w, weights[name])}

    @property
    def epoch(self) -> int:
        """Passes done, or the one that is looked at."""
        return super().epoch if self.pinned is None else self.pinned

    def generator(self, number: int = 0) -> torch.Generator:
        """Noted."""
        self.notes.drew = True
        return super().generator(number)

    def fresh_model(self) -> nn.Module:
        """Noted."""
        self.notes.drew = True
        return super().fresh_model()

    def fresh_weights(self) -> dict[str, Tensor]:
        """Noted."""
        self.notes.drew = True
        return super().fresh_weights()

    def logits(self, batch: Batch, model: nn.Module | None = None) -> Tensor:
        """Remembered for a moment: a loss of these scores is one of these rows."""
        found = super().logits(batch, model)
        if model is None and self._in_training_set(batch):
            self._outputs = [*self._outputs[1 - RECENT :], (found, batch.index)]
        return found

    def _in_training_set(self, batch: Batch) -> bool:
        elsewhere = (c for name, c in self.columns.items() if name != "train" and isinstance(c, Seen))
        return not any(batch.index is index for columns in elsewhere for index in columns.given)

    def _hear(self, logits: Tensor, targets: Tensor) -> None:
        """Note rows and targets where the scores are the model's, or a slice of them."""
        for whole, index in self._outputs:
            if logits is whole or logits._base is whole:
                start = logits.storage_offset() // whole.stride(0) if len(whole) > 1 else 0
                rows = index[start : start + len(logits)]
                if len(rows) == len(targets):
                    self.notes.labels.append((rows.clone(), targets.detach().clone()))


def rows_of(takes: Sequence[Tensor]) -> set[int]:
    """Every row of the batches."""
    return {int(row) for take in takes for row in take}
