"""A split as columns of tensors, and the batches that a method reads from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mubench import processes


@dataclass(frozen=True)
class Batch:
    """B examples: model inputs (B, ...), targets (B, ...) as `Columns` has them, rows in the training set."""

    inputs: dict[str, Tensor]
    targets: Tensor
    index: Tensor

    def __len__(self) -> int:
        return len(self.index)

    @property
    def width(self) -> int:
        """Rows that it may be cut between."""
        return len(self.index)

    def part(self, rows: slice) -> Batch:
        """Some consecutive rows."""
        inputs = {name: values[rows] for name, values in self.inputs.items()}
        return Batch(inputs, self.targets[rows], self.index[rows])


@dataclass(frozen=True)
class Paired:
    """A batch of D_f beside an equally large one of D_r."""

    forget: Batch
    retain: Batch

    def __len__(self) -> int:
        return len(self.forget) + len(self.retain)

    @property
    def width(self) -> int:
        """Rows that it may be cut between: of D_f, each beside one of D_r."""
        return len(self.forget)

    def part(self, rows: slice) -> Paired:
        """Some consecutive rows of both."""
        return Paired(self.forget.part(rows), self.retain.part(rows))

    def joined(self) -> Batch:
        """Both in one batch, forget rows first, so that one forward serves both."""
        return concatenate(self.forget, self.retain)

    def parted(self, joined: Batch) -> Paired:
        """Rows of a joined batch side by side again."""
        count = len(self.forget)
        return Paired(joined.part(slice(None, count)), joined.part(slice(count, None)))

    def split(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Values of the joined batch's rows as D_f's (B, ...) and D_r's (B, ...)."""
        return rows[: len(self.forget)], rows[len(self.forget) :]


def concatenate(first: Batch, second: Batch) -> Batch:
    """The rows of two batches, one after the other."""
    inputs = {k: torch.cat([v, second.inputs[k]]) for k, v in first.inputs.items()}
    return Batch(
        inputs,
        torch.cat([first.targets, second.targets]),
        torch.cat([first.index, second.index]),
    )


@dataclass(frozen=True)
class Columns:
    """A split of N examples as tensors, in storage types (uint8 images); `ids` are dataset rows.

    `targets` are what a model is to give: classes (N,), tokens (N, T) padded with -100, latents
    (N, C, H, W). Where they are no classes, `classes` may still name one for each row (strata of a
    deletion); `groups` names the speaker, author or person that a row belongs to.
    """

    inputs: dict[str, Tensor]
    targets: Tensor
    ids: np.ndarray
    classes: np.ndarray | None = None  # (N,) int64
    groups: np.ndarray | None = None  # (N,) int64

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def labels(self) -> np.ndarray:
        """The class of each row, (N,) int64."""
        return self.targets.cpu().numpy() if self.classes is None else self.classes

    @property
    def bytes(self) -> int:
        """Size of the tensors in bytes."""
        return sum(t.numel() * t.element_size() for t in [*self.inputs.values(), self.targets])

    def to(self, device: torch.device) -> Columns:
        """The same columns on a device."""
        inputs = {k: v.to(device) for k, v in self.inputs.items()}
        return replace(self, inputs=inputs, targets=self.targets.to(device))

    def pin(self) -> Columns:
        """The same columns in page-locked memory, from where a GPU copies faster."""
        inputs = {k: v.pin_memory() for k, v in self.inputs.items()}
        return replace(self, inputs=inputs, targets=self.targets.pin_memory())

    def take(self, rows: Tensor, device: torch.device) -> Batch:
        """The batch of the given rows (B,), on the device whichever memory the columns are in."""
        at = rows.to(self.targets.device)
        inputs = {k: v.index_select(0, at).to(device, non_blocking=True) for k, v in self.inputs.items()}
        targets = self.targets.index_select(0, at).to(device, non_blocking=True)
        return Batch(inputs, targets, at.to(device))

    def subset(self, rows: np.ndarray) -> Columns:
        """A copy of some rows, in the order given."""
        at = torch.from_numpy(np.asarray(rows, dtype=np.int64))
        inputs = {k: v.index_select(0, at) for k, v in self.inputs.items()}
        classes, groups = (None if c is None else c[rows] for c in (self.classes, self.groups))
        return Columns(inputs, self.targets.index_select(0, at), self.ids[rows], classes, groups)


@dataclass(frozen=True)
class Dataset:
    """A task's splits as columns, and what is known of its data."""

    splits: Mapping[str, Columns]  # train (without validation), validation, test, and what else a task has
    classes: tuple[str, ...]
    labels: np.ndarray  # (N,) of all training rows in the data's order, validation not split off
    official: str | None  # key of MU-Bench's list for this data
    facts: Mapping[str, Any]  # identity of the data, its encoder's folder, channel statistics, sizes
    groups: tuple[str, ...] = ()  # names of what `Columns.groups` numbers

    def __getitem__(self, split: str) -> Columns:
        return self.splits[split]


@dataclass(frozen=True)
class ForgetSplit:
    """The deletion: rows of the training columns, (n_f,) and (n_r,) int64, and the hash of the ids."""

    forget: np.ndarray
    retain: np.ndarray
    strategy: str
    ratio: float  # percent of the training set that was really chosen
    sha256: str


def shuffled(rows: Tensor, generator: torch.Generator) -> Tensor:
    """The rows in random order; the draw is made on the CPU, the same for every device."""
    return rows[torch.randperm(len(rows), generator=generator)]


@dataclass(frozen=True)
class Stream:
    """Batches over some rows of the columns, each row once a pass, the last batch as small as it falls."""

    columns: Columns
    rows: Tensor  # (n,) int64, on the CPU
    batch_size: int
    device: torch.device

    def __len__(self) -> int:
        return -(-len(self.rows) // self.batch_size)

    def batches(self, generator: torch.Generator | None, skip: int = 0) -> Iterator[Batch]:
        """One pass, shuffled if there is a generator, from batch `skip` on."""
        rows = self.rows if generator is None else shuffled(self.rows, generator)
        order = rows.to(self.columns.targets.device)
        for chunk in list(order.split(self.batch_size))[skip:]:
            yield self.columns.take(chunk, self.device)

    def shared_out(self) -> Iterator[tuple[int, Batch]]:
        """The batches of one pass in the rows' order that fall to this process, with their numbers.

        All processes get as many: where the last round has none left, the last batch comes once more.
        """
        chunks = self.rows.to(self.columns.targets.device).split(self.batch_size)
        for first in range(0, len(chunks), processes.count()):
            number = min(first + processes.rank(), len(chunks) - 1)
            yield number, self.columns.take(chunks[number], self.device)


@dataclass(frozen=True)
class PairedStream:
    """Each row of D_f once a pass, every batch beside as many rows of a fresh sample of D_r."""

    forget: Stream
    retain: Stream

    def __len__(self) -> int:
        return len(self.forget)

    def batches(self, generator: torch.Generator | None, skip: int = 0) -> Iterator[Paired]:
        """One pass; the retain sample is as large as D_f, without repetition where D_r suffices."""
        count, rows = len(self.forget.rows), self.retain.rows
        draw = rows if generator is None else shuffled(rows, generator)
        sample = draw.repeat(-(-count // len(draw)))[:count]
        retain = replace(self.retain, rows=sample, batch_size=self.forget.batch_size)
        passes = zip(self.forget.batches(generator, skip), retain.batches(None, skip), strict=True)
        for forget_batch, retain_batch in passes:
            yield Paired(forget_batch, retain_batch)
