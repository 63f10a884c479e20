"""A process that does assignments, one at a time: JSON lines in on stdin, answers out on stdout.

What runs print goes to stderr, which is a log file. When stdin closes the worker ends, a run under way by
Ctrl-C's way, so that no worker outlives its command, whatever ended that.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading

from mubench.launching.work import carry_out, planner_of, told, unpacked


class _Mailbox:
    """Reads stdin in a thread of its own; its end while work goes on interrupts the main thread."""

    def __init__(self) -> None:
        self.lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self.busy = False
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        rest = b""
        while chunk := os.read(0, 2**16):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self.lines.put(line)
        self.lines.put(b"")
        if self.busy:
            os.kill(os.getpid(), signal.SIGINT)


def main(config_dirs: list[str]) -> int:
    """Serve until stdin closes; 130 if a run was under way then."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    planner, mailbox = planner_of(config_dirs), _Mailbox()
    try:
        while line := mailbox.lines.get():
            mailbox.busy = True
            failure = carry_out(unpacked(json.loads(line)), planner)
            mailbox.busy = False
            if failure is not None:
                print(f"mubench: {failure}", file=sys.stderr, flush=True)
            print(json.dumps(told(failure)), file=answers, flush=True)
    except (KeyboardInterrupt, BrokenPipeError):
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
