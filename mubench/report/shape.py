"""What a user chooses about tables: their axes, and how numbers are shown."""

from __future__ import annotations

from dataclasses import dataclass

from mubench.errors import UsageError, did_you_mean

AXES = ("method", "metric", "task", "model", "deletion", "ratio", "adapter", "curriculum", "optimizer")


@dataclass(frozen=True)
class Shape:
    """What a user chooses about tables."""

    rows: str = "method"
    columns: str = "metric"
    sd: bool = False  # ± the standard deviation, not half of the interval
    papers: bool = False  # names and units as the papers have them

    def __post_init__(self) -> None:
        for name in ("rows", "columns"):
            if (value := getattr(self, name)) not in AXES:
                hint = did_you_mean(value, AXES)
                raise UsageError(f"{name}={value}: {name} are one of {', '.join(AXES)}.{hint}")
        if self.rows == self.columns:
            raise UsageError(f"rows and columns are both {self.rows}")

    @property
    def usual(self) -> bool:
        """Methods by metrics: each row is one set of runs, whose number is told once."""
        return (self.rows, self.columns) == ("method", "metric")
