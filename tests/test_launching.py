"""Runs done by other processes than the command's: workers beside it, and how work is cut for them."""

from __future__ import annotations

import signal
import subprocess
import time
from functools import partial
from pathlib import Path

import pytest
import torch
from command_line import ALONE, EXTERNAL, FAST, Done, Outputs, mubench, record_of, start

from mubench import catalog, jobs
from mubench.config import model_lock
from mubench.files import locked
from mubench.launching.assignments import spread
from mubench.launching.board import Board
from mubench.launching.packs import packs
from mubench.launching.parallel import gpus_for
from mubench.launching.underway import note, underway
from mubench.plan import Planner

WORKERS = ("hydra/launcher=parallel", "hydra.launcher.workers=2")
SLOWLY = (
    "run", "-m", "method=slowly", "method.pause=0.5", f"--config-dir={EXTERNAL}", *FAST, ALONE,
    "unlearning.epochs=3", "trainer.checkpoint_minutes=0",
)  # fmt: skip


@pytest.fixture(scope="module")
def planner() -> Planner:
    return Planner(catalog.config_dirs())


def wait_for(condition, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def children(process: subprocess.Popen[str]) -> list[int]:
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(process.pid)], capture_output=True, text=True)
    return [int(pid) for pid in found.stdout.split()]


def alive(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status")
    return status.exists() and "State:\tZ" not in status.read_text()


def test_shared_models_come_first_and_only_their_runs_wait_for_them(planner, tmp_path):
    words = ["method=neggrad,salun", "deletion.ratio=2,6", f"out={tmp_path}"]
    pieces = spread(planner.cells(words, multirun=True))
    first, second, *runs = pieces
    assert [len(first.models), len(second.models)] == [2, 1]  # the original is trained once
    assert "original" in first.models[0] and all("retrained" in p.models[-1] for p in (first, second))
    assert [piece.models for piece in runs] == [()] * 4
    assert sorted(piece.after for piece in runs) == [(0,), (0,), (0, 1), (0, 1)]
    packed = packs(runs, 2, 2, [])
    assert [pack.after for pack in packed] == [(0,), (0, 1)] and [len(p.pieces) for p in packed] == [2, 2]
    assert sorted(place for pack in packed for place in pack.places) == [2, 3, 4, 5]


def test_what_a_job_in_the_queue_trains_is_waited_for_and_not_trained_twice(planner, tmp_path):
    cells = planner.cells(["method=neggrad,salun", "deletion.ratio=2,6", f"out={tmp_path}"], multirun=True)
    original, retrained = spread(cells)[0].models
    sweep = tmp_path / "sweeps" / "one"
    note(sweep, {original: "7_0", retrained: "7_1", "elsewhere": "8"})
    jobs_of_others = underway(sweep.parent, {"7_0", "8"})  # 7_1 has ended
    assert jobs_of_others[original] == "7_0" and sorted(jobs_of_others.values()) == ["7_0", "8"]
    first, second, *runs = spread(cells, jobs_of_others)
    assert first.models == (retrained,) and original not in second.models
    assert all(piece.behind == ("7_0",) for piece in runs)
    assert {(pack.after, pack.behind) for pack in packs(runs, 2, 2, [])} == {
        ((0,), ("7_0",)),
        ((1,), ("7_0",)),
    }
    (sweep / "models.json").write_text("[torn")
    assert underway(sweep.parent, {"7_0"}) == {}


def test_a_model_that_one_run_needs_is_trained_by_it(planner, tmp_path):
    (piece,) = spread(planner.cells([f"out={tmp_path}"], multirun=False))
    assert (piece.models, piece.after) == ((), ())


def test_what_another_command_is_at_is_given_out_last(planner, tmp_path):
    cells = planner.cells(["method=neggrad,salun", f"out={tmp_path}"], multirun=True)
    models, first, second = pieces = spread(cells)
    nobody = partial(pytest.fail, "nobody else is here")
    board = Board(pieces)
    with locked(Path(models.models[0]).with_suffix(".lock"), nobody):
        assert models.elsewhere and board.take() == (0, models)  # there is nothing else to do
    board.end(0, None)
    with locked(Path(first.run_dir) / ".lock", nobody):
        assert [board.take(), board.take()] == [(2, second), (1, first)]


def test_shadow_models_of_a_role_are_trained_under_one_lock(planner, tmp_path):
    words = ["method=neggrad,salun", "shadows=2", f"out={tmp_path}"]
    cells = planner.cells(words, multirun=True)
    (piece, *_) = spread(cells)
    shadows = [folder for folder in piece.models if "shadows" in folder]
    assert len({model_lock(Path(folder)) for folder in shadows}) == 2 < len(shadows)  # a role each
    home = cells[0].shadow_dirs("original")[0].parent
    with locked(home.with_suffix(".lock"), partial(pytest.fail, "nobody else is here")):
        assert piece.elsewhere
    assert not piece.elsewhere


def test_the_board_gives_out_nothing_before_its_predecessors_ended(planner, tmp_path):
    board = Board(spread(planner.cells(["method=neggrad,salun", f"out={tmp_path}"], multirun=True)))
    place, piece = board.take()
    assert piece.models and all(one.after == (place,) for one in board.waiting.values())
    assert board.end(place, None) == "[1/3]"
    assert {board.take()[0], board.take()[0]} == {1, 2} and board.take() is None


def test_each_gpu_is_named_as_the_user_lets_us_see_it(planner, monkeypatch):
    (cell,) = planner.cells([], multirun=False)
    (on_cpu,) = planner.cells(["trainer.device=cpu"], multirun=False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert gpus_for([cell]) == ["0", "1"] and gpus_for([on_cpu]) == []
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    assert gpus_for([cell]) == ["3", "5"]


def test_how_runs_are_launched_is_no_part_of_them(planner):
    (plain,) = planner.cells(["trainer.threads=1"], multirun=False)
    (launched,) = planner.cells(["hydra/launcher=slurm", "hydra.launcher.gpus=2", "trainer.threads=1"], False)
    assert launched.fingerprint == plain.fingerprint and launched.overrides == plain.overrides


MISTAKES = {
    "hydra/launcher=slrm": "unknown hydra/launcher 'slrm'. Did you mean 'slurm'? (mubench ls launchers)",
    "hydra/launcher=slurm hydra.launcher.minuts=3":
        "'hydra.launcher' has no setting 'minuts'. Did you mean 'minutes' (240)?",
    "hydra/launcher=slurm hydra.launcher.options={hold:true}":
        "hydra.launcher.options takes one key at a time: +hydra.launcher.options.key=value",
    "hydra/launcher=slurm +hydra.launcher.mintes=3":
        "'hydra.launcher' has no setting 'mintes'. Did you mean 'minutes' (240)?",
    "hydra/launcher=slurm hydra.launcher.gpus=-1": "hydra.launcher.gpus must lie in [0, 10000], not -1",
    "hydra/launcher=parallel hydra.launcher.workers=0": "hydra.launcher.workers must lie in [1, 4096], not 0",
    "hydra/launcher=slurm,parallel -m": "hydra/launcher=slurm,parallel: it is one for all runs",
    "hydra/launcher=parallel method=slun":
        "unknown method 'slun'. Did you mean 'salun'? (mubench ls methods)",
}  # fmt: skip


@pytest.mark.parametrize("words", MISTAKES)
def test_a_mistake_is_told_before_anything_is_launched(words, cli, tmp_path):
    done = cli("run", *words.split(), f"out={tmp_path / 'o'}")
    assert (done.status, done.err) == (2, f"mubench: {MISTAKES[words]}\n")
    assert not (tmp_path / "o").exists()


def test_commands_that_work_in_their_own_process_take_no_launcher(cli, tmp_path):
    done = cli("prepare", "hydra/launcher=parallel", f"out={tmp_path / 'o'}")
    assert done.status == 2 and done.err.startswith("mubench: hydra/launcher=parallel does nothing here: ")
    assert not (tmp_path / "o").exists()


def test_without_sbatch_slurm_is_refused(cli, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    done = cli("run", "hydra/launcher=slurm", f"out={tmp_path / 'o'}")
    assert (done.status, done.err) == (
        2, "mubench: hydra/launcher=slurm: there is no sbatch here (hydra/launcher=parallel does without)\n"
    )  # fmt: skip
    assert not (tmp_path / "o").exists()


def test_a_launcher_of_ones_own_is_a_yaml(tmp_path):
    (tmp_path / "hydra" / "launcher").mkdir(parents=True)
    mine = tmp_path / "hydra" / "launcher" / "ours.yaml"
    mine.write_text("# Our cluster\ndefaults: [slurm]\npartition: a100\nminutes: 30\n")
    planner = Planner(catalog.config_dirs([tmp_path]))
    node, folder = planner.launcher(["hydra/launcher=ours", "hydra.launcher.minutes=60", "out=there"])
    assert (node["partition"], node["minutes"], node["cpus"]) == ("a100", 60, 4)
    assert folder.parts[:2] == ("there", "sweeps")


def logs_of(folders: list[Path]) -> set[Path]:
    noted = [jobs.of(folder) for folder in folders]
    assert all(job and job.launcher == "parallel" and job.log.is_file() for job in noted)
    return {job.log for job in noted if job}


def test_workers_share_a_sweep_and_a_failure_stops_nobody(outputs: Outputs):
    words = (
        "run", "-m", "method=raises,finetune", "deletion.ratio=2,6", f"--config-dir={EXTERNAL}", *FAST[:2],
        "trainer.device=cpu", ALONE, f"out={outputs.folder}", *WORKERS,
    )  # fmt: skip
    done: Done = mubench(*words)
    assert done.status == 1 and "\n4 runs: 2 complete, 2 failed\n" in done.err, done.err
    assert done.err.startswith("4 runs: 0 complete, 4 for 2 workers, ") and done.out == ""
    finished, failed = outputs.runs("finetune"), outputs.runs("raises")
    assert [record_of(folder)["status"] for folder in finished + failed] == ["complete"] * 2 + ["failed"] * 2
    assert "no idea what to do" in "".join(log.read_text() for log in logs_of(finished + failed))
    again = mubench(*words[:2], "method=finetune", *words[3:])
    assert again.status == 0 and again.err == "2 runs: 2 complete, 0 failed\n"


def test_a_killed_worker_is_replaced_and_its_run_goes_on_next_time(outputs: Outputs):
    words = (*SLOWLY, f"out={outputs.folder}", WORKERS[0], "hydra.launcher.workers=1")
    sweep = start(*words, "deletion.ratio=2,6")
    wait_for(lambda: list(outputs.folder.glob("runs/*/*/slowly/*/*/checkpoints/*")))
    (worker,) = children(sweep)
    subprocess.run(["kill", "-9", str(worker)], check=True)
    _, said = sweep.communicate(timeout=240)
    assert sweep.returncode == 1 and "\n2 runs: 1 complete, 1 failed\n" in said
    killed, other = outputs.runs("slowly")
    assert f"{killed}: its worker was killed by SIGKILL" in said
    assert jobs.of(killed).error["sentence"].startswith("its worker was killed")
    assert record_of(other)["status"] == "complete" and not (killed / "record.json").exists()


def test_ctrl_c_ends_all_workers_and_the_same_command_goes_on(outputs: Outputs):
    words = (*SLOWLY, f"out={outputs.folder}", *WORKERS, "deletion.ratio=2,6")
    sweep = start(*words)
    wait_for(lambda: len(list(outputs.folder.glob("runs/*/*/slowly/*/*/checkpoints/fit0.pt"))) == 2)
    workers = children(sweep)
    assert len(workers) == 2
    sweep.send_signal(signal.SIGINT)
    _, said = sweep.communicate(timeout=60)
    assert sweep.returncode == 130 and said.endswith("interrupted; the same command goes on from here\n")
    assert not any(alive(pid) for pid in workers) and "Traceback" not in said
    done = mubench(*words)
    assert done.status == 0 and "\n2 runs: 2 complete, 0 failed\n" in done.err, done.err
    runs = outputs.runs("slowly")
    assert "resuming at step" in "".join(log.read_text() for log in logs_of(runs))
    assert all("Traceback" not in log.read_text() for log in outputs.folder.glob("sweeps/*/*.log"))
