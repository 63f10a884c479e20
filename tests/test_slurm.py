"""Sweeps as jobs of a real SLURM, which these tests start here: where its packages are installed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from command_line import ALONE, EXTERNAL, FAST, mubench, record_of

from mubench import jobs

SCRIPT = Path(__file__).parent.parent / "scripts" / "local_slurm.sh"
TOOLS = ("sbatch", "squeue", "slurmctld", "slurmd", "munged")
LACKING = [tool for tool in TOOLS if shutil.which(tool, path=f"{os.environ['PATH']}:/usr/sbin") is None]
LACKING += [] if find_spec("submitit") else ["submitit"]
pytestmark = pytest.mark.skipif(
    bool(LACKING), reason=f"no {', '.join(LACKING)} (Debian: apt-get install slurm-wlm munge)"
)
SMALL = (
    "hydra/launcher=slurm", "hydra.launcher.cpus=1", "hydra.launcher.gpus=0", "hydra.launcher.memory_gb=1",
    "hydra.launcher.minutes=20",
)  # fmt: skip


STEPS = "unlearning.batch_size=1"  # 67, each with a pause: time to be cancelled in


# Submitting commands are processes of their own: submitit sets logging up anew, which closes streams that
# other libraries' handlers hold, pytest's own among them.
@pytest.fixture(scope="module", autouse=True)
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A SLURM of one node; what these tests start finds it by SLURM_CONF."""
    folder = tmp_path_factory.mktemp("slurm")
    started = subprocess.run([SCRIPT, "start", folder], capture_output=True, text=True, timeout=120)
    assert started.returncode == 0, started.stderr
    before = os.environ.get("SLURM_CONF")
    os.environ["SLURM_CONF"] = started.stdout.strip().rpartition("SLURM_CONF=")[2]
    yield
    subprocess.run([SCRIPT, "stop", folder], check=True, timeout=120)
    os.environ.pop("SLURM_CONF")
    if before is not None:
        os.environ["SLURM_CONF"] = before


def wait_for(condition, seconds: float = 180) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, subprocess.run(["squeue", "-r"], capture_output=True, text=True).stdout
        time.sleep(0.1)


def number_of(run: Path) -> str:
    job = jobs.of(run)
    assert job is not None and job.launcher == "slurm"
    return job.number


def queue(states: str = "PENDING,RUNNING,COMPLETING") -> list[str]:
    command = ["squeue", "--me", "--noheader", "--array", "--format=%i", f"--states={states}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


def said_by(run: Path) -> str:
    job = jobs.of(run)
    return job.log.read_text() if job is not None and job.log.is_file() else ""


def test_a_sweep_with_a_failed_and_a_cancelled_run_is_completed_by_its_command(tmp_path, monkeypatch, cli):
    """Three methods; one fails, one is cancelled in the middle, and the models come first."""
    out, obstacle = tmp_path / "o", tmp_path / "obstacle"
    obstacle.touch()
    monkeypatch.setenv("OBSTACLE", str(obstacle))
    words = (
        "run", "-m", "method=neggrad,brittle,slowly", *FAST, ALONE, f"out={out}", f"--config-dir={EXTERNAL}",
        "trainer.checkpoint_minutes=0", STEPS, *SMALL,
    )  # fmt: skip
    submitted = mubench(*words)
    assert (submitted.status, submitted.out) == (0, ""), submitted.err
    first = "3 runs: 0 complete, 0 in the queue already, 3 submitted in 3 jobs ("
    assert submitted.err.startswith(first) and "behind 1 for 1 shared model;" in submitted.err
    assert len(jobs.noted(out)) == 3
    again = mubench(*words)
    assert again.err.startswith("3 runs: 0 complete, 3 in the queue already, none submitted\n"), again.err
    wait_for(lambda: list(out.glob("runs/*/*/slowly/*/*/checkpoints/fit0.pt")))
    (cancelled,) = out.glob("runs/*/*/slowly/*/*/")
    # submitit ignores SIGTERM; SIGKILL comes KillWait later.
    subprocess.run(["scancel", number_of(cancelled)], check=True)
    wait_for(lambda: not queue())
    status = cli("status", f"out={out}").out
    assert "1 complete, 1 failed" in status and "a file is in the way" in status and "unfinished" in status
    assert "unlearning has begun" in said_by(cancelled) and not (cancelled / "record.json").exists()
    obstacle.unlink()
    repeated = mubench(*words, "hydra.launcher.runs_per_job=2", "hydra.launcher.wait=true")
    assert repeated.status == 0, repeated.err
    head, tail = (
        "3 runs: 1 complete, 0 in the queue already, 2 submitted in 1 job (",
        "3 runs: 3 complete, 0 failed",
    )
    assert repeated.err.startswith(head) and repeated.err.endswith(f"{tail}\n")
    assert "unlearn: resuming at step" in said_by(cancelled)
    assert {record_of(run)["status"] for run in jobs.noted(out)} == {"complete"}


def test_a_second_sweep_waits_for_the_models_of_the_first(tmp_path, cli):
    held = (*FAST, ALONE, f"out={tmp_path}", *SMALL, "+hydra.launcher.options.hold=true")
    first = mubench("run", "-m", "method=neggrad,finetune", *held)
    assert first.status == 0 and "behind 1 for 1 shared model;" in first.err, first.err
    (models,) = tmp_path.glob("sweeps/*/models.json")
    (number,) = json.loads(models.read_text()).values()
    second = mubench("run", "-m", "method=salun,scrub", *held)
    assert second.status == 0 and "2 submitted in 2 jobs (" in second.err, second.err
    assert "behind 1 of another sweep's;" in second.err
    waits = subprocess.run(["squeue", "-h", "-r", "--format=%E"], capture_output=True, text=True).stdout
    assert waits.count(f"afterany:{number}") == 4, waits
    told = cli("status", f"out={tmp_path}").out.splitlines()
    assert told[0] == f"4 runs in {tmp_path}: 4 not begun" and "slurm " in told[2]
    subprocess.run(["scancel", "--me"], check=True)
    wait_for(lambda: not queue())


def test_a_job_that_is_told_its_end_is_near_goes_on_as_a_new_one(tmp_path):
    """SLURM's warning, as before pre-emption or the end of its time: the job requeues itself and resumes."""
    words = (
        "run", "method=slowly", *FAST, ALONE, f"out={tmp_path}", f"--config-dir={EXTERNAL}",
        "trainer.checkpoint_minutes=0", "unlearning.batch_size=4", *SMALL,
    )  # fmt: skip
    assert mubench(*words).status == 0
    wait_for(lambda: list(tmp_path.glob("runs/*/*/slowly/*/*/checkpoints/fit0.pt")))
    (run,) = jobs.noted(tmp_path)
    subprocess.run(["scancel", "--signal=USR2", number_of(run)], check=True)
    wait_for(lambda: "Requeued job" in said_by(run))
    # SLURM holds a requeued job back for two minutes.
    wait_for(lambda: queue("PENDING") == [number_of(run)])
    assert not (run / "record.json").exists()
    subprocess.run(["scontrol", "update", f"JobId={number_of(run)}", "StartTime=now"], check=True)
    wait_for(lambda: (run / "record.json").exists())
    assert record_of(run)["status"] == "complete" and "unlearn: resuming at step" in said_by(run)


def test_what_sbatch_refuses_is_told_in_a_sentence(tmp_path):
    done = mubench("run", *FAST, ALONE, f"out={tmp_path / 'o'}", *SMALL, "hydra.launcher.partition=nowhere")
    assert done.status == 2 and done.err.startswith("mubench: hydra/launcher=slurm: "), done.err
    assert "partition" in done.err and done.err.count("\n") == 1
    assert not jobs.noted(tmp_path / "o")
