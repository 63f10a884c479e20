"""Nothing that happens to the real command loses work: signals, rivals, damage, a full disk."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import ALONE, EXTERNAL, FAST, FIRST, LEFT, Outputs, mubench, names, record_of, start

# Long enough to be interrupted, with a checkpoint wherever there may be one.
SLOW = (
    "run", "method=slowly", f"--config-dir={EXTERNAL}", *FAST, ALONE, "training.epochs=8",
    "unlearning.epochs=3", "trainer.checkpoint_minutes=0",
)  # fmt: skip


def stop(how: signal.Signals, when: Callable[[subprocess.Popen[str]], object], *words: str) -> str:
    """Start a command and send it a signal when `when` returns; what it said."""
    process = start(*words)
    when(process)
    process.send_signal(how)
    _, said = process.communicate(timeout=60)
    assert process.returncode == (130 if how == signal.SIGINT else -how), said
    assert "Traceback" not in said
    return said


def there_is(folder: Path, pattern: str) -> Callable[[object], None]:
    """Waits until a file has appeared below a folder."""

    def wait(_: object) -> None:
        end = time.monotonic() + 120
        while not list(folder.glob(pattern)) and time.monotonic() < end:
            time.sleep(0.01)

    return wait


def has_written(line: str, stream: str) -> Callable[[subprocess.Popen[str]], bool]:
    """Waits until the process has written a line."""
    return lambda process: any(line in text for text in getattr(process, stream))


def test_killed_at_any_moment_the_same_command_finishes_as_if_undisturbed(tmp_path):
    out, undisturbed = f"out={tmp_path / 'a'}", f"out={tmp_path / 'b'}"
    original = there_is(tmp_path / "a", "models/*/*/original/*/checkpoint.pt")
    unlearning = there_is(tmp_path / "a", "runs/*/*/*/*/*/checkpoints/fit0.pt")
    stop(signal.SIGKILL, original, *SLOW, out)
    assert "original: resuming at step" in stop(signal.SIGKILL, unlearning, *SLOW, out)
    said = stop(signal.SIGINT, has_written("unlearning has begun", "stderr"), *SLOW, out)
    assert said.endswith("mubench: interrupted; the same command goes on from here\n")
    ends = [mubench(*SLOW, out), mubench(*SLOW, undisturbed)]
    assert [done.status for done in ends] == [0, 0], ends
    assert "Training" not in ends[0].err and "unlearn: resuming at step" in ends[0].err
    assert "Training" in ends[1].err
    (run,), (other,) = (Outputs(tmp_path / name, ends[0]).runs() for name in "ab")
    assert record_of(run)["metrics"] == record_of(other)["metrics"] and names(run) == names(other) == LEFT
    assert names(tmp_path / "a" / "models") == names(tmp_path / "b" / "models")


def test_killed_while_the_retrained_model_trains_it_goes_on_from_there(outputs, tmp_path):
    shutil.copytree(outputs.folder, tmp_path / "b")
    words = (*FIRST, "deletion.ratio=9", "trainer.checkpoint_minutes=0")
    retraining = there_is(outputs.folder, "models/*/*/retrained/*/checkpoint.pt")
    assert "original: " not in stop(signal.SIGKILL, retraining, *words, f"out={outputs.folder}")
    ends = [mubench(*words, f"out={folder}") for folder in (outputs.folder, tmp_path / "b")]
    assert [done.status for done in ends] == [0, 0], ends
    assert "retrained: resuming at step" in ends[0].err and "resuming" not in ends[1].err
    runs = [next(folder.glob("runs/*/*/neggrad/random-9/*/")) for folder in (outputs.folder, tmp_path / "b")]
    assert record_of(runs[0])["metrics"] == record_of(runs[1])["metrics"]
    assert names(outputs.folder / "models") == names(tmp_path / "b" / "models")


def test_a_sweep_shares_one_original_and_goes_on_where_it_was_killed(outputs, cli):
    words = ["-m", "method=neggrad,finetune", "deletion.ratio=2,6", *FAST, ALONE, f"out={outputs.folder}"]
    at_second = has_written(f"{outputs.folder}/runs/digits/resnet-small/neggrad/random-6/", "stdout")
    stop(signal.SIGKILL, at_second, "run", *words)
    plan = cli("run", "--dry-run", *words).out.splitlines()
    assert plan[0] == "4 runs: 2 complete, 2 to do, 0 shared models to train"
    kept = {run: record_of(run)["started"] for run in outputs.runs() if (run / "record.json").is_file()}
    done = mubench("run", *words)
    assert done.status == 0 and done.err.endswith("4 runs: 4 complete, 0 failed\n")
    assert done.err.count("already complete") == 2 and "Training" not in done.err
    assert {run: record_of(run)["started"] for run in kept} == kept
    assert len(outputs.runs()) == 5
    assert len(list(outputs.folder.glob("models/*/*/original/*/record.json"))) == 1
    assert cli("status", f"out={outputs.folder}").out == f"5 runs in {outputs.folder}: 5 complete\n"


def test_two_processes_train_one_original(tmp_path):
    words = ("run", *FAST, "training.epochs=4", ALONE, f"out={tmp_path / 'o'}")
    both = [start(*words, f"method={method}") for method in ("neggrad", "finetune")]
    said = [process.communicate(timeout=200)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert "".join(said).count("Training the original model") == 1
    assert len(list(tmp_path.glob("o/runs/*/*/*/*/*/record.json"))) == 2


def test_what_is_damaged_is_named_and_rebuilt(outputs):
    (run,) = outputs.runs()
    before = record_of(run)
    (original,) = outputs.folder.glob("models/*/*/original/*/model.safetensors")
    (encoded,) = outputs.folder.glob("cache/*/*/train.pixel_values.npy")
    for path, damage in ((original, b""), (encoded, b"x"), (run / "predictions.safetensors", b"xx")):
        path.write_bytes(path.read_bytes()[: -len(damage) or 1000] + damage)
    done = mubench(*FIRST, f"out={outputs.folder}")
    warnings = [line for line in done.err.splitlines() if line.startswith("mubench: warning: ")]
    assert done.status == 0 and len(warnings) == 3
    for path, remedy in (
        (run / "predictions.safetensors", "the run is repeated"),
        (encoded, "encoding the data again"),
        (original, "the original model is trained again"),
    ):
        assert f"mubench: warning: {path} is not what was written (its hash differs); {remedy}" in warnings
    assert "Training the retrained model" not in done.err
    assert record_of(run)["metrics"] == before["metrics"]


def test_a_disk_that_fills_up_is_one_sentence(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a tmpfs is not permitted here")
    try:
        done = mubench(*FIRST, ALONE, f"out={disk / 'o'}")
        assert done.status == 1 and "Traceback" not in done.err
        last = done.err.splitlines()[-1]
        assert last.startswith(f"mubench: cannot write to {disk / 'o'}") and "no space left on device" in last
        assert not list(disk.rglob("model.safetensors"))
    finally:
        subprocess.run(["umount", str(disk)], check=True)
