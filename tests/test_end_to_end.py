"""The real command on real data: what it leaves, what a second command finds."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from command_line import ALONE, EXTERNAL, FAST, FIRST, LEFT, mubench, names, record_of


def test_a_run_leaves_exactly_these_files(first):
    (run,) = first.runs()
    assert names(run) == LEFT
    for role in ("original", "retrained"):
        (model,) = (first.folder / "models" / "digits" / "resnet-small" / role).glob("seed42-????????")
        kept = {name.rpartition("-")[0] for name in names(model) if name.startswith("generated/")}
        assert kept == {"generated/penultimate-forget", "generated/penultimate-test"}
        files = {name for name in names(model) if not name.startswith("generated/")}
        assert files == {"model.safetensors", "predictions.safetensors", "record.json"}
    read = {"index.sqlite", "plans"}  # left by tests that looked at this folder before
    assert {path.name for path in first.folder.iterdir()} - read == {"cache", "models", "runs"}
    assert record_of(run)["metrics"]["original"]["test_accuracy"] > 0.6
    said = first.printed.err
    assert "4.97 % of 1,347 = 67 examples to forget (random), 1,280 to retain" in said
    assert said.count("Training the original model") == said.count("Training the retrained model") == 1


def test_a_repeated_command_does_nothing_unless_forced(first, outputs):
    (run,) = outputs.runs()
    before = record_of(run)
    again = mubench(*FIRST, f"out={outputs.folder}")
    assert (again.status, again.err) == (0, f"already complete: {run}\n")
    assert again.out == outputs.printed.out.replace(str(first.folder), str(outputs.folder))
    (run / ".record.json.k1ll3d").touch()
    forced = mubench(*FIRST, f"out={outputs.folder}", "force=true", "save_model=true")
    after = record_of(run)
    assert forced.status == 0 and "Training" not in forced.err
    assert after["metrics"] == before["metrics"] and after["fingerprint"] == before["fingerprint"]
    assert names(run) == LEFT | {"model/model.safetensors"} and set(after["files"]) > set(before["files"])


def test_a_failing_cell_does_not_stop_the_others_and_its_record_says_why(outputs, cli):
    words = ["-m", "method=raises,explodes,finetune", f"--config-dir={EXTERNAL}", *FAST, ALONE]
    done = mubench("run", *words, f"out={outputs.folder}")
    assert done.status == 1 and "Traceback" not in done.err
    assert "3 runs: 1 complete, 2 failed\n" in done.err
    (raises,), (explodes,), (finetune,) = map(outputs.runs, ("raises", "explodes", "finetune"))
    assert record_of(raises)["status"] == "failed"
    assert record_of(raises)["error"] == "ValueError: no idea what to do"
    assert "Traceback" in (raises / "log.txt").read_text(encoding="utf-8")
    assert record_of(explodes)["status"] == "diverged" and "loss became nan" in record_of(explodes)["error"]
    assert record_of(finetune)["status"] == "complete"
    lines = cli("status", "*", f"out={outputs.folder}").out.splitlines()
    assert lines[0].endswith(f"4 runs in {outputs.folder}: 2 complete, 1 diverged, 1 failed")
    table = cli("table", "method=finetune,explodes", f"out={outputs.folder}").out
    assert "finetune" in table and "explodes" not in table


def test_prepare_trains_each_missing_shared_model_once(outputs, cli):
    words = ["-m", "method=salun,scrub", "deletion.ratio=5,9", *FAST, f"out={outputs.folder}"]
    assert cli("prepare", "--dry-run", *words).out.startswith("4 runs: 0 complete, 4 to do, 1 shared model ")
    done = mubench("prepare", *words)
    folders = [Path(line) for line in done.out.splitlines()]
    assert done.status == 0 and done.err.count("Training") == 1 and len(set(folders)) == len(folders) == 3
    assert all((folder / "record.json").is_file() for folder in folders) and len(outputs.runs()) == 1


def test_a_method_from_outside_runs_and_stands_in_the_table(outputs, cli):
    words = ["method=slowly", "method.pause=0", f"--config-dir={EXTERNAL}", *FAST, f"out={outputs.folder}"]
    done = mubench("run", *words)
    assert done.status == 0 and done.out.startswith("slowly · digits · resnet-small")
    rows = {
        row["method"]: row for row in json.loads(cli("table", "--format=json", f"out={outputs.folder}").out)
    }
    assert set(rows) == {"original", "retrained", "neggrad", "slowly"}
    assert rows["slowly"]["values"]["test_accuracy"]["n"] == 1
    shutil.rmtree(outputs.folder / "runs")
    assert cli("table", f"out={outputs.folder}").status == 2
