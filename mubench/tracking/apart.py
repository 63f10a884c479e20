"""W&B in a process of its own.

It hooks into imports, exits and signals of the process that loads it, and a service of its own that dies
would take a run along. Here it can do a run no harm; and when a run is killed, what W&B was told before
is still written to the end.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from queue import Empty, Queue
from threading import Thread
from typing import IO, Any

CLOSING = 1.0  # seconds for the last words to an own process that is not waited for


class Apart:
    """A process that speaks to W&B; `mubench.tracking.session` is what it does."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "mubench.tracking.session"], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, encoding="utf-8",
            start_new_session=True,  # Ctrl-C is the run's
        )  # fmt: skip
        assert self._process.stdin is not None and self._process.stdout is not None
        self._words: Queue[str | None] = Queue()
        self._replies: Queue[dict[str, str] | None] = Queue()
        self._speaker = Thread(target=self._speak, args=(self._process.stdin,), daemon=True)
        self._listener = Thread(target=self._listen, args=(self._process.stdout,), daemon=True)
        self._speaker.start()
        self._listener.start()

    def tell(self, act: str, **what: Any) -> None:
        """Have it do something, after all that it was told before; nobody waits."""
        self._words.put(json.dumps({"act": act, **what}) + "\n")

    def heard(self, act: str | None = None, seconds: float = 0.0) -> Iterator[tuple[str, str]]:
        """(kind, text) of what it says, until it has done `act`; without one what it has said so far.

        RuntimeError if it failed or is gone, TimeoutError if it takes longer.
        """
        until = time.monotonic() + seconds
        while True:
            try:
                reply = self._replies.get(timeout=max(until - time.monotonic(), 0.0)) if act else (
                    self._replies.get_nowait()
                )  # fmt: skip
            except Empty:
                if act:
                    raise TimeoutError(f"W&B took longer than {seconds:g} s") from None
                return
            if reply is None:
                self._replies.put(None)
                raise RuntimeError("W&B's process has ended")
            if reply["kind"] == "failed":
                raise RuntimeError(reply["text"])
            if reply["kind"] == "done":
                if reply["text"] == act:
                    return
                continue
            yield reply["kind"], reply["text"]

    def leave(self) -> None:
        """Tell it that nothing follows; it ends by itself when it has done everything."""
        self._words.put(None)
        self._speaker.join(CLOSING)

    def kill(self) -> None:
        """End it now."""
        self._process.kill()
        self.wait()

    def wait(self) -> None:
        """Let it do everything and end."""
        self.leave()
        self._listener.join()

    def _speak(self, stream: IO[str]) -> None:
        with suppress(OSError), stream:  # where it is gone, which the listener notices
            while (words := self._words.get()) is not None:
                stream.write(words)
                stream.flush()

    def _listen(self, stream: IO[str]) -> None:
        with stream:
            for line in stream:
                self._replies.put(json.loads(line))
        self._process.wait()  # whoever left it, it leaves nothing behind
        self._replies.put(None)
