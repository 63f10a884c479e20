"""Which runs stand in one table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Place(NamedTuple):
    """What the runs of one table have in common."""

    task: str
    model: str
    deletion: str
    ratio: float | None

    @property
    def title(self) -> str:
        """As tables are headed."""
        deleted = self.deletion if self.ratio is None else f"{self.deletion} {self.ratio:g} %"
        return f"{self.task} · {self.model} · {deleted}"


def place_of(key: Mapping[str, Any]) -> Place:
    """The table of a run, by its key."""
    return Place(key["task"], key["model"], key["deletion"], key["ratio"])


def order(place: Place) -> tuple[Any, ...]:
    """Of tables: ratios by size, deletions without one first."""
    return (*place[:3], -1.0 if place.ratio is None else place.ratio)
