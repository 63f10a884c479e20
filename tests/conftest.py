"""How tests share the cores; the real command line; an outputs folder with one finished run on digits."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"  # before anything imports the hub's client
os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: a core is a worker's

import pytest
from command_line import FIRST, Done, Outputs, cold, ended

# A shell's background jobs ignore Ctrl-C, and so would every process that a test starts.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The longest first, so that no worker ends alone with one of them.
LONG = (
    "test_slurm", "test_every_method", "test_defaults", "test_twins", "test_options_of_every_method",
    "test_processes", "test_shared_work", "test_shadows", "test_safety", "test_launching", "test_search",
    "test_docs", "test_calibration", "test_adapters", "test_attack_runs", "test_connect", "test_tracking",
    "test_sharded_work", "test_end_to_end", "test_real_layouts", "test_plots", "test_sweeps",
)  # fmt: skip


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One more than cores, as some tests wait; pytest alone on one core, or for one file."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    files = {name.partition("::")[0] for name in config.args}
    alone = cores == 1 or (len(files) == 1 and files.pop().endswith(".py"))
    return 0 if alone else min(cores + 1, 8)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files in the order that workers take them."""
    rank = {name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: rank.get(item.path.stem, len(rank)))


@pytest.fixture(scope="session")
def first(tmp_path_factory: pytest.TempPathFactory) -> Outputs:
    """One run on digits with its original and retrained model. Read it; to write, take `outputs`."""
    folder = tmp_path_factory.mktemp("session") / "outputs"
    done = ended(cold(*FIRST, f"out={folder}"))
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
