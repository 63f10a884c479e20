"""Which rows of a batch each process works on, and what it is told of the others'.

A batch of n rows is cut into as many runs of rows as there are processes, whose sizes differ by one at most.
A part counts for its share of the rows, so that the shares' losses, and gradients, add up to those of the
batch. Where there are more processes than rows, some have none: such a process works on a row of another
one, with a share of 0, so that all of them go through the same steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from mubench import processes


@dataclass(frozen=True)
class Part:
    """Rows `first` to before `last` of a batch of `total`, and how many of them count: all or none."""

    first: int
    last: int
    counted: int
    total: int
    processes: int  # that have a part each

    @property
    def whole(self) -> bool:
        """Whether it is all of the batch, and no other process has any."""
        return self.processes == 1

    @property
    def rows(self) -> slice:
        """The rows."""
        return slice(self.first, self.last)

    def weighed(self, loss: Tensor) -> Tensor:
        """A mean over the rows as this part's summand of the mean over the batch."""
        return loss if self.whole else loss * (self.counted / self.total)


def part_of(total: int) -> Part:
    """What this process works on of a batch of so many rows."""
    first, last = _bounds(total)[processes.rank()]
    if first == last:
        first = min(first, total - 1)
        return Part(first, first + 1, 0, total, processes.count())
    return Part(first, last, last - first, total, processes.count())


def _bounds(total: int) -> list[tuple[int, int]]:
    count = processes.count()
    return [(total * place // count, total * (place + 1) // count) for place in range(count)]


@dataclass
class _Present:
    part: Part | None = None


_present = _Present()


@contextmanager
def taken(part: Part) -> Iterator[None]:
    """Inside, the part is the one that `whole` and batch normalisation complete."""
    before, _present.part = _present.part, part
    try:
        yield
    finally:
        _present.part = before


def present() -> Part | None:
    """The part that is being worked on; None outside of a step of training, and where it is the whole."""
    part = _present.part
    return None if part is None or part.whole else part


def whole(values: Tensor) -> Tensor:
    """Values of the part's rows (b, ...) as those of the whole batch's (B, ...), in order: constants.

    Every process must ask for it at the same place.
    """
    import torch.distributed as dist

    part, values = present(), values.detach()
    if part is None:
        return values
    if len(values) != part.last - part.first:
        raise ValueError(f"{len(values)} values for a part of {part.last - part.first} rows")
    sizes = [last - first for first, last in _bounds(part.total)]
    padded = values.new_zeros((max(sizes), *values.shape[1:]))
    padded[: part.counted] = values[: part.counted]
    found = [torch.empty_like(padded) for _ in sizes]
    dist.all_gather(found, padded)
    return torch.cat([rows[:size] for rows, size in zip(found, sizes, strict=True)])
