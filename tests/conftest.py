"""The real command line, and an outputs folder that holds one finished run on digits."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"  # before anything imports the hub's client

import pytest
from command_line import FIRST, Done, Outputs, mubench


@pytest.fixture(scope="session")
def first(tmp_path_factory: pytest.TempPathFactory) -> Outputs:
    """One run on digits with its original and retrained model. Read it; to write, take `outputs`."""
    folder = tmp_path_factory.mktemp("session") / "outputs"
    done = mubench(*FIRST, f"out={folder}")
    assert done.status == 0, done.err
    return Outputs(folder, done)


@pytest.fixture
def outputs(first: Outputs, tmp_path: Path) -> Outputs:
    """A copy of `first` to work in."""
    shutil.copytree(first.folder, tmp_path / "outputs")
    return Outputs(tmp_path / "outputs", first.printed)


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
