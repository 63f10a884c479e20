"""A run under the eyes of its tracker, whose failure is a warning: the record is complete without it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mubench import processes
from mubench.progress import Reporter
from mubench.records import Record
from mubench.tracking.base import Tracker


@contextmanager
def tracked(tracker: Tracker, record: Record, folder: Path, reporter: Reporter) -> Iterator[None]:
    """Inside, a run works, and leaves its record in `folder` if it comes to an end.

    Of several processes that work on one run the main one tells.
    """
    watch = _Watch(tracker if processes.main() else Tracker(), reporter)
    watch.call(lambda: watch.tracker.start(record, folder, reporter))
    reporter.listener = watch.epoch
    try:
        yield
    finally:
        reporter.listener = None
        if (folder / "record.json").is_file():
            watch.call(lambda: watch.tracker.finish(record, folder))
        else:
            watch.call(watch.tracker.stop)


class _Watch:
    """Calls a tracker until it fails."""

    def __init__(self, tracker: Tracker, reporter: Reporter) -> None:
        self.tracker, self._reporter = tracker, reporter

    def epoch(self, line: Mapping[str, Any]) -> None:
        """Hand a line of history on."""
        self.call(lambda: self.tracker.epoch(line))

    def call(self, act: Callable[[], object]) -> None:
        """Act; after a failure a tracker that does nothing takes the place of this one."""
        try:
            act()
        except Exception as error:
            failed, self.tracker = self.tracker, Tracker()
            told = " ".join(str(error).split()) or type(error).__name__
            self._reporter.warn(f"tracking={failed.name} failed, the run goes on without it: {told}")
            with suppress(Exception):
                failed.stop()
