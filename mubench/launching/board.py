"""What is to be done by several workers, in an order that lets shared models come first."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mubench import jobs
from mubench.errors import NotApplicable
from mubench.launching.assignments import Assignment
from mubench.launching.base import Failure
from mubench.launching.seats import Seat


@dataclass
class Board:
    """What is to be done and what became of it, for the threads that keep workers busy."""

    pieces: Sequence[Assignment]
    waiting: dict[int, Assignment] = field(init=False)
    ended: dict[int, Failure | None] = field(default_factory=dict)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def __post_init__(self) -> None:
        self.waiting = dict(enumerate(self.pieces))

    def take(self) -> tuple[int, Assignment] | None:
        """Wait for a piece whose predecessors have ended, well or not; None when there is none to come.

        What another command is at comes last.
        """
        with self.changed:
            while self.waiting:
                ready = {at: one for at, one in self.waiting.items() if self.ended.keys() >= {*one.after}}
                if ready:
                    place = next((at for at, one in ready.items() if not one.elsewhere), min(ready))
                    return place, self.waiting.pop(place)
                self.changed.wait()
            return None

    def end(self, place: int, failure: Failure | None) -> str:
        """Note what became of a piece; how many have ended so far, as '[3/12]'."""
        with self.changed:
            self.ended[place] = failure
            self.changed.notify_all()
            return f"[{len(self.ended)}/{len(self.pieces)}]"

    def clear(self) -> None:
        """Nothing more is to be begun."""
        with self.changed:
            self.waiting.clear()
            self.changed.notify_all()

    def outcomes(self) -> dict[str, Failure | None]:
        """What became of each run, by its directory."""
        return {self.pieces[place].run_dir: failure for place, failure in self.ended.items()
                if not self.pieces[place].models}  # fmt: skip


def serve(board: Board, seats: Sequence[Seat]) -> None:
    """Keep a worker busy at each seat until all is done; none is left when this returns or is interrupted."""
    threads = [threading.Thread(target=_keep_busy, args=(board, seat), daemon=True) for seat in seats]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    finally:
        board.clear()
        for seat in seats:
            seat.dismiss()
        for seat in seats:
            seat.wait()


def _keep_busy(board: Board, seat: Seat) -> None:
    while taken := board.take():
        place, piece = taken
        if not piece.models:
            jobs.note(Path(piece.run_dir), "parallel", str(seat.number), seat.log)
        started = time.perf_counter()
        failure = seat.do(piece)
        if seat.dismissed:
            return
        counted, seconds = board.end(place, failure), time.perf_counter() - started
        print(f"{counted} {_word(failure):8} {piece.title} ({seconds:.1f} s){_why(failure)}", file=sys.stderr)


def _word(failure: Failure | None) -> str:
    if failure is None:
        return "complete"
    return "n/a" if isinstance(failure, NotApplicable) else "failed"


def _why(failure: Failure | None) -> str:
    return f": {failure}" if failure else ""
