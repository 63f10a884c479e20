"""The real command in a process of its own, and what it leaves."""

from __future__ import annotations

import atexit
import json
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

# What a run on digits imports in the course of its work, mubench and torch with it.
IMPORTED = [
    "mubench.commands.run", "mubench.plan", "mubench.experiment", "torch.utils.flop_counter",
    "sklearn.datasets", "sklearn.linear_model", "sklearn.model_selection", "sklearn.pipeline", "sklearn.svm",
]  # fmt: skip
EXTERNAL = Path(__file__).parent / "external"
# Two epochs of training, one of unlearning: seconds, and enough to tell a trained model from a fresh one.
FAST = ("training.epochs=2", "unlearning.epochs=1", "trainer.threads=1", "trainer.device=cpu")
FIRST = ("run", "method=neggrad", *FAST)
ALONE = "evaluation.reference=none"  # without the retrained model
# What a run leaves in its directory.
LEFT = {
    "config.yaml", "overrides.yaml", "record.json", "predictions.safetensors", "forget_ids.npy", "log.txt",
    "history.jsonl", "weights.safetensors", "rows.safetensors",
}  # fmt: skip


@dataclass(frozen=True)
class Done:
    """A finished process."""

    status: int
    out: str
    err: str


def cold(*words: str) -> subprocess.Popen[str]:
    """Start `mubench` as users do: a new Python, which imports all that it needs."""
    command = [sys.executable, "-m", "mubench", *words]
    return subprocess.Popen(
        command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    )


def start(*words: str) -> subprocess.Popen[str] | Forked:
    """Start `mubench` in a process of its own, which has its imports already where that is possible."""
    return Forked(words) if sys.platform == "linux" else cold(*words)


def mubench(*words: str) -> Done:
    """Run `mubench` to its end."""
    return ended(start(*words))


def ended(process: subprocess.Popen[str] | Forked) -> Done:
    """What it left when it has ended."""
    out, err = process.communicate(timeout=300)
    return Done(process.returncode, out, err)


def environment() -> dict[str, str]:
    return {**os.environ, "COLUMNS": "120"}


class Forked:
    """`python -m mubench WORDS`, forked from a process that has imported what a run imports: seconds less.

    A process like any other, to be signalled and killed; as much of `subprocess.Popen` as tests ask for.
    """

    def __init__(self, words: tuple[str, ...]) -> None:
        assert SERVER is not None
        pipes = [SERVER.Pipe(duplex=False) for _ in range(2)]
        own = (words, environment(), str(Path.cwd()), *(writer for _, writer in pipes))
        self._process = SERVER.Process(target=as_module, args=own)
        self._process.start()
        self.stdout, self.stderr = (
            os.fdopen(os.dup(reader.fileno()), encoding="utf-8") for reader, _ in pipes
        )

    @property
    def pid(self) -> int:
        return self._process.pid or 0

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            os.kill(self.pid, number)

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """What is left of both streams, when it has ended; TimeoutExpired where it does not."""
        with ThreadPoolExecutor(2) as readers:
            texts = [readers.submit(stream.read) for stream in (self.stdout, self.stderr)]
            self._process.join(timeout)
            if self.returncode is None:
                self.kill()
                raise subprocess.TimeoutExpired("mubench", timeout or 0)
        self.stdout.close(), self.stderr.close()
        out, err = (text.result() for text in texts)
        return out, err


SERVER = multiprocessing.get_context("forkserver") if sys.platform == "linux" else None
if SERVER is not None:
    SERVER.set_forkserver_preload(IMPORTED)


def as_module(
    words: tuple[str, ...], variables: dict[str, str], cwd: str, out: Connection, err: Connection
) -> None:
    """In the forked process: streams, variables, folder and path as a shell would give them, then mubench."""
    for number, pipe in ((1, out), (2, err)):
        os.dup2(pipe.fileno(), number)
        pipe.close()
    os.environ.clear()
    os.environ.update(variables)
    os.chdir(cwd)
    sys.path[:] = [cwd, *(entry for entry in sys.path if not entry.startswith(str(EXTERNAL.parent)))]
    sys.argv = ["mubench", *words]
    try:
        runpy.run_module("mubench", run_name="__main__", alter_sys=True)
    finally:
        atexit._run_exitfuncs()


@dataclass(frozen=True)
class Outputs:
    """An outputs folder, and what the run that filled it printed."""

    folder: Path
    printed: Done

    def runs(self, method: str = "*") -> list[Path]:
        """The directories of a method's runs."""
        return sorted(p.parent for p in self.folder.glob(f"runs/*/*/{method}/*/*/config.yaml"))


def record_of(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "record.json").read_text(encoding="utf-8"))
    return content


def names(folder: Path) -> set[str]:
    """Files of a folder, but the lock that says who works there."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} - {".lock"}
