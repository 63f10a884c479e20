"""A worker's place: its share of the machine, its log, and the process that sits there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from mubench.errors import RunFailed
from mubench.jobs import note_error
from mubench.launching.assignments import Assignment
from mubench.launching.base import Failure
from mubench.launching.work import packed, told, untold

PATIENCE = 60.0  # seconds that a dismissed worker has to let go of its run


@dataclass
class Seat:
    """Has one worker process at a time; a new one where the last one died."""

    number: int
    log: Path
    config_dirs: Sequence[str]
    threads: int
    gpu: str | None = None  # as CUDA_VISIBLE_DEVICES names it
    dismissed: bool = False
    _worker: subprocess.Popen[str] | None = field(default=None, repr=False)

    @property
    def means(self) -> str:
        """What a worker here computes with, in words."""
        plural = "" if self.threads == 1 else "s"
        return f"{'' if self.gpu is None else 'one GPU and '}{self.threads} thread{plural} each"

    def do(self, piece: Assignment) -> Failure | None:
        """Let the worker do a piece of work; why it failed, None where all went well."""
        worker = self._worker = self._seated()
        try:
            print(json.dumps(packed(piece)), file=worker.stdin, flush=True)
            answer = worker.stdout.readline() if worker.stdout else ""
        except (OSError, ValueError):  # the worker is gone, or its pipe was closed to dismiss it
            answer = ""
        if answer:
            return untold(json.loads(answer))
        if self.dismissed:
            return RunFailed("interrupted")
        return self._death(piece, worker.wait())

    def dismiss(self) -> None:
        """Close the worker's ear: it ends, a run under way as by Ctrl-C."""
        self.dismissed = True
        if self._worker and self._worker.stdin:
            with suppress(OSError):  # the worker may be gone
                self._worker.stdin.close()

    def wait(self) -> None:
        """Until the worker has ended; one that takes too long is killed."""
        if self._worker is None:
            return
        try:
            self._worker.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            print(f"mubench: warning: a worker does not end: killed (see {self.log})", file=sys.stderr)
        finally:  # Ctrl-C again: no more patience
            self._worker.kill()
            self._worker.wait()

    def _seated(self) -> subprocess.Popen[str]:
        """The worker that sits here; in a session of its own, so that Ctrl-C reaches it once, from here."""
        if self._worker and self._worker.poll() is None:
            return self._worker
        seen = {} if self.gpu is None else {"CUDA_VISIBLE_DEVICES": self.gpu}
        with self.log.open("a", encoding="utf-8") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "mubench.launching.worker", *self.config_dirs],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
                env={**os.environ, **seen, "OMP_NUM_THREADS": str(self.threads)}, start_new_session=True,
            )  # fmt: skip

    def _death(self, piece: Assignment, status: int) -> RunFailed:
        """What is said of a worker that ended in the middle of its work."""
        how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
        failure = RunFailed(f"its worker {how} (see {self.log}); the same command goes on")
        if not piece.models:
            note_error(Path(piece.run_dir), told(failure))
        return failure
