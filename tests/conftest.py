"""The real command line, and an outputs folder that holds one finished run on digits."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"  # before anything imports the hub's client

import pytest

EXTERNAL = Path(__file__).parent / "external"
# Two epochs of training, one of unlearning: seconds, and enough to tell a trained model from a fresh one.
FAST = ("training.epochs=2", "unlearning.epochs=1", "trainer.threads=1", "trainer.device=cpu")
FIRST = ("run", "method=neggrad", *FAST)


@dataclass(frozen=True)
class Done:
    """A finished process."""

    status: int
    out: str
    err: str


def start(*words: str) -> subprocess.Popen[str]:
    """Start `mubench` as users do, in a process of its own."""
    command = [sys.executable, "-m", "mubench", *words]
    environment = {**os.environ, "COLUMNS": "120"}
    return subprocess.Popen(
        command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    )


def mubench(*words: str) -> Done:
    """Run `mubench` to its end."""
    process = start(*words)
    out, err = process.communicate(timeout=300)
    return Done(process.returncode, out, err)


@dataclass(frozen=True)
class Outputs:
    """An outputs folder, and what the run that filled it printed."""

    folder: Path
    first: Done

    def runs(self, method: str = "*") -> list[Path]:
        """The directories of a method's runs."""
        return sorted(p.parent for p in self.folder.glob(f"runs/*/*/{method}/*/*/config.yaml"))


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Outputs:
    """One run on digits with its original and retrained model. Read it; to write, take `outputs`."""
    folder = tmp_path_factory.mktemp("session") / "outputs"
    done = mubench(*FIRST, f"out={folder}")
    assert done.status == 0, done.err
    return Outputs(folder, done)


@pytest.fixture
def outputs(finished: Outputs, tmp_path: Path) -> Outputs:
    """A copy of `finished` to work in."""
    shutil.copytree(finished.folder, tmp_path / "outputs")
    return Outputs(tmp_path / "outputs", finished.first)


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Done]:
    """The command line within this process: for everything that trains nothing."""
    from mubench.cli import main

    monkeypatch.setenv("COLUMNS", "120")

    def call(*words: str) -> Done:
        capsys.readouterr()
        status = main(words)
        captured = capsys.readouterr()
        return Done(status, captured.out, captured.err)

    return call
