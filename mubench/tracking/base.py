"""What a tracker is told of a run; this one tells nobody."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mubench.progress import Reporter
from mubench.records import Record


@dataclass
class Tracker:
    """Tells nobody. Subclasses do; what they raise is a warning, and they hear no more of that run."""

    name: str = "none"

    def check(self) -> None:
        """UsageError for what is missing here, before any work."""

    def start(self, record: Record, folder: Path, reporter: Reporter) -> None:
        """A run begins in its directory; `record` has no numbers yet."""

    def epoch(self, line: Mapping[str, Any]) -> None:
        """An epoch has ended: the line of history.jsonl, with its stage, number and loss."""

    def finish(self, record: Record, folder: Path) -> None:
        """The record is written, complete or not."""

    def stop(self) -> None:
        """The run ends without a record: it was interrupted, or this tracker failed."""
