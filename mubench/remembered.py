"""Teachers' outputs by training row, computed once; a checkpoint holds them too.

A row's outputs differ in their last bit with the batch that they were computed in. Were they computed
anew in other batches, a resumed training would not end in the bits of an uninterrupted one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

CACHE_BYTES = 2**28  # largest table of teacher outputs


class Remembered:
    """A teacher's outputs by training row, filled as they are asked for, up to a size."""

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._table: Tensor | None = None
        self._known: Tensor | None = None

    def outputs(self, index: Tensor, compute: Callable[[], Tensor]) -> Tensor:
        """The outputs (B, ...) of the rows; computed for the whole batch if one row is new."""
        if self._table is not None and self._known is not None and bool(self._known[index].all()):
            return self._table[index]
        fresh = compute()
        if self._table is None and self._rows * fresh[0].numel() * fresh.element_size() <= CACHE_BYTES:
            self._table = fresh.new_zeros((self._rows, *fresh.shape[1:]))
            self._known = torch.zeros(self._rows, dtype=torch.bool, device=fresh.device)
        if self._table is not None and self._known is not None:
            self._table[index], self._known[index] = fresh, True
        return fresh

    def export(self) -> dict[str, Tensor]:
        """The table (N, ...) and which rows of it are known (N,); nothing if there is none."""
        if self._table is None or self._known is None:
            return {}
        return {"table": self._table, "known": self._known}

    def restore(self, saved: Mapping[str, Tensor], device: torch.device) -> None:
        """Know what was exported."""
        if saved:
            self._table, self._known = saved["table"].to(device), saved["known"].to(device)


class Tables:
    """The tables of all teachers of a run; in a checkpoint a teacher is named by its weights."""

    def __init__(self) -> None:
        self._tables: dict[nn.Module, Remembered] = {}
        self._names: dict[nn.Module, str] = {}
        self._saved: dict[str, dict[str, Tensor]] = {}

    def of(self, teacher: nn.Module, rows: int) -> Remembered:
        """The teacher's table over so many training rows, as a checkpoint left it."""
        if teacher not in self._tables:
            name, device = _name(teacher), next(teacher.parameters()).device
            self._tables[teacher], self._names[teacher] = Remembered(rows), name
            self._tables[teacher].restore(self._saved.get(name, {}), device)
        return self._tables[teacher]

    def state_dict(self) -> dict[str, dict[str, Tensor]]:
        """Every table, by its teacher's name."""
        known = {self._names[teacher]: table.export() for teacher, table in self._tables.items()}
        return {**self._saved, **known}

    def load_state_dict(self, saved: Mapping[str, dict[str, Tensor]]) -> None:
        """Keep the tables for when their teachers are asked."""
        self._saved = dict(saved)
        for teacher, table in self._tables.items():
            device = next(teacher.parameters()).device
            table.restore(self._saved.get(self._names[teacher], {}), device)


def _name(model: nn.Module) -> str:
    """Sums of all weights and of their squares: equal for equal networks on one kind of device."""
    sums = [(w.detach().double().sum(), w.detach().double().square().sum()) for w in model.parameters()]
    return " ".join(float(torch.stack(column).sum()).hex() for column in zip(*sums, strict=True))
