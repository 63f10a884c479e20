"""Sweeps through the real command: killed at any moment, two of them at once, told by `status`."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import pytest
from command_line import ALONE, EXTERNAL, FAST, mubench, record_of, start

from mubench.files import locked

GRID = ("run", "-m", "method=neggrad,finetune", "deletion.ratio=2,6", *FAST, ALONE)
TIMES = ("started", "finished", "cost", "environment")


def facts(folder: Path) -> dict[str, Any]:
    """Every record below an outputs folder by its run, but for times and places."""
    found = {}
    for path in sorted(folder.glob("runs/*/*/*/*/*/record.json")):
        record = {name: value for name, value in record_of(path.parent).items() if name not in TIMES}
        record["config"].pop("out"), record.pop("overrides"), record.pop("reasons")
        record["files"].pop("history.jsonl")  # tells seconds
        found[str(path.parent.relative_to(folder))] = record
    return found


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sweep") / "undisturbed"
    done = mubench(*GRID, f"out={folder}")
    assert done.status == 0, done.err
    return folder


def test_killed_at_random_moments_a_sweep_ends_as_if_undisturbed(undisturbed, tmp_path):
    out, draw, kills = tmp_path / "killed", random.Random(), 0
    while kills < 3:
        process = start(*GRID, f"out={out}")
        began = time.monotonic()
        wait = draw.uniform(0.5, 6)
        while process.poll() is None and time.monotonic() - began < wait:
            time.sleep(0.02)
        process.kill()  # no harm where it has ended
        process.communicate()
        kills += 1
    done = mubench(*GRID, f"out={out}")
    assert done.status == 0 and done.err.endswith("4 runs: 4 complete, 0 failed\n"), done.err
    assert facts(out) == facts(undisturbed) and len(facts(out)) == 4


def test_two_sweeps_over_the_same_cells_do_each_run_once(undisturbed, tmp_path):
    out = tmp_path / "both"
    both = [start(*GRID, f"out={out}") for _ in range(2)]
    said = [process.communicate(timeout=280)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    done = [line for text in said for line in text.splitlines() if line.strip().startswith("unlearn: ")]
    assert len(done) == 4 and "".join(said).count("Training the original model") == 1
    assert facts(out) == facts(undisturbed)


def test_a_run_that_another_command_is_at_comes_last(undisturbed, tmp_path):
    out = tmp_path / "shared"
    first = out / next(iter(facts(undisturbed)))
    with locked(first / ".lock", lambda: pytest.fail("nobody else is here")):
        process = start(*GRID, f"out={out}")
        while len(facts(out)) < 3 and process.poll() is None:
            time.sleep(0.05)
        assert process.poll() is None and not (first / "record.json").exists()
    _, err = process.communicate(timeout=280)
    assert process.returncode == 0 and err.endswith("4 runs: 4 complete, 0 failed\n"), err
    assert facts(out) == facts(undisturbed)


def test_status_of_a_plan_tells_why_a_run_failed_where_its_log_is_and_what_is_missing(tmp_path, cli):
    out, mine = f"out={tmp_path / 'o'}", f"--config-dir={EXTERNAL}"
    done = mubench("run", "-m", "method=explodes,neggrad", mine, *FAST, ALONE, out)
    assert done.status == 1 and "2 runs: 1 complete, 1 failed" in done.err, done.err
    words = ("-m", "method=explodes,neggrad,finetune", mine, *FAST, ALONE, out)
    told = cli("status", *words).out.splitlines()
    assert told[0] == f"3 runs in {tmp_path / 'o'}: 1 complete, 1 diverged, 1 missing"
    assert told[1].startswith("  diverged   digits/resnet-small/explodes/") and "loss became nan" in told[1]
    assert Path(told[2].strip()).name == "log.txt" and Path(told[2].strip()).is_file()
    assert told[3].startswith("  missing    digits/resnet-small/finetune/") and len(told) == 4
