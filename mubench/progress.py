"""What a run says while it works: live bars on a terminal, plain lines elsewhere, all of it in log.txt."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mubench import processes
from mubench.files import write_text


@dataclass
class Reporter:
    """Writes to standard error, so that standard output holds results only, and to a log file.

    Of several processes the main one's alone does.
    """

    log: Path | None = None
    quiet: bool = False
    history: list[dict[str, Any]] = field(default_factory=list)  # lines of history.jsonl
    listener: Callable[[Mapping[str, Any]], object] | None = None  # is told each of them at once
    _unwritten: str = field(default="", init=False, repr=False)

    def say(self, text: str) -> None:
        """One line."""
        if not self.quiet and processes.main():
            print(text, file=sys.stderr, flush=True)
        self.note(text)

    def warn(self, text: str) -> None:
        """One line that something is not as it should be."""
        self.say(f"mubench: warning: {text}")

    def note(self, text: str) -> None:
        """One line for the log only; kept until there is one. A full disk is told by what matters more."""
        self._unwritten += f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n"
        if self.log is not None and processes.main():
            with suppress(OSError), self.log.open("a", encoding="utf-8") as stream:
                stream.write(self._unwritten)
            self._unwritten = ""

    def remember(self, line: dict[str, Any]) -> None:
        """A line of history: for history.jsonl, and for who listens."""
        self.history.append(line)
        if self.listener is not None:
            self.listener(line)

    def write_history(self, path: Path) -> None:
        """The epochs so far, a JSON object a line."""
        write_text(path, "".join(json.dumps(line) + "\n" for line in self.history))

    @contextmanager
    def stage(self, title: str, total: int) -> Iterator[Stage]:
        """A stage of `total` steps; says how long it took when it ends."""
        stage = Stage(self, title, total)
        bar = None if self.quiet or not processes.main() or not sys.stderr.isatty() else _bar(title, total)
        stage.bar = bar
        try:
            if bar:
                bar[0].start()
            yield stage
        finally:
            if bar:
                bar[0].stop()
        stage.close()


@dataclass
class Stage:
    """One stage's progress: steps and examples so far, the loss last seen."""

    reporter: Reporter
    title: str
    total: int
    bar: Any = None
    started: float = field(default_factory=time.perf_counter)
    examples: int = 0
    loss: float | None = None

    def advance(self, steps: int, examples: int, loss: float | None = None) -> None:
        """Some steps more."""
        self.examples += examples
        self.loss = loss if loss is not None else self.loss
        if self.bar:
            progress, task = self.bar
            progress.update(task, advance=steps, text=self._text())

    def epoch(self, number: int, **values: float) -> None:
        """The end of an epoch: a line of history."""
        self.reporter.remember({"stage": self.title, "epoch": number, **values})

    def _text(self) -> str:
        seconds = time.perf_counter() - self.started
        loss = "" if self.loss is None else f"loss {self.loss:.4g}, "
        return f"{loss}{self.examples / max(seconds, 1e-9):,.0f} examples/s"

    def close(self) -> None:
        """Say what the stage came to."""
        seconds = time.perf_counter() - self.started
        self.reporter.say(f"  {self.title}: {seconds:.1f} s, {self._text()}")


def _bar(title: str, total: int) -> tuple[Any, Any]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("  {task.description}"), BarColumn(), TextColumn("{task.fields[text]}"))
    console = Console(stderr=True)
    progress = Progress(*columns, TimeRemainingColumn(), console=console, transient=True)
    return progress, progress.add_task(title, total=total, text="")
