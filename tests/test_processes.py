"""Several processes for one run: the numbers of one process to rounding, one voice, and one end."""

from __future__ import annotations

import numpy as np
import pytest
from command_line import mubench, names, record_of
from safetensors.numpy import load_file
from several import launch

from mubench.processes import REFUSED, SHARDED

# Three steps of training, in which rounding grows little. AdamW would make the most of it: where a gradient
# is nothing but rounding, its step is as long as elsewhere.
RUN = (
    "run", "training.epochs=1", "training.batch_size=512", "unlearning.epochs=1", "trainer.threads=1",
    "trainer.device=cpu", "evaluation.batch_size=100", "save_model=true", "optimizer=sgd",
    "optimizer@training.optimizer=sgd", "training.lr=0.01",
)  # fmt: skip
CLOSE = {"rtol": 1e-3, "atol": 1e-3}
FSDP = {SHARDED: "true", "FSDP_VERSION": "1", "FSDP_SYNC_MODULE_STATES": "true"}  # as its launcher sets them
BREAKING = """
import os
from dataclasses import dataclass
from mubench.methods.finetune import Finetune


@dataclass
class Breaking(Finetune):
    def loss(self, run, batch):
        if run.epoch == 1 and os.environ["RANK"] == "1":
            raise ValueError("out of luck")
        return super().loss(run, batch)
"""


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """The same run by one process, by two, and by two with a part of every weight each."""
    folder = tmp_path_factory.mktemp("both")
    one = mubench(*RUN, "method=bad_teaching", f"out={folder / 'one'}")
    two = launch("-m", "mubench", *RUN, "method=bad_teaching", f"out={folder / 'two'}")
    words = (*RUN, "method=bad_teaching", f"out={folder / 'shards'}")
    shards = launch("-m", "mubench", *words, **FSDP)
    for done in (one, *two, *shards):
        assert done.status == 0, done.err
    return folder, two


@pytest.mark.parametrize("several", ["two", "shards"])
def test_two_processes_leave_the_files_of_one(both, several):
    folder, _ = both
    assert names(folder / "one") == names(folder / several)
    ids = [np.load(next((folder / count).rglob("forget_ids.npy"))) for count in ("one", several)]
    assert (ids[0] == ids[1]).all()


@pytest.mark.parametrize("several", ["two", "shards"])
@pytest.mark.parametrize("name", ["predictions.safetensors", "model.safetensors"])
def test_two_processes_find_the_numbers_of_one(both, name, several):
    folder, _ = both
    places = sorted(path.relative_to(folder / "one") for path in (folder / "one").rglob(name))
    assert len(places) == 3  # of the original, the retrained and the unlearned model
    for place in places:
        one, two = (load_file(folder / count / place) for count in ("one", several))
        assert one.keys() == two.keys()
        for key, values in one.items():
            assert values.shape == two[key].shape and np.allclose(values, two[key], **CLOSE), f"{place} {key}"


def test_the_record_says_how_many_processes_worked_and_counts_their_work_once(both):
    folder, _ = both
    one, *others = (
        record_of(next((folder / count).glob("runs/**/record.json")).parent)
        for count in ("one", "two", "shards")
    )
    counts = [record["environment"]["processes"] for record in (one, *others)]
    assert counts == ["1", "2", "2 (weights in shards)"]
    for two in others:
        for name in ("steps", "examples", "flops"):
            assert two["cost"][name] == pytest.approx(one["cost"][name], rel=1e-6), name
        assert one["fingerprint"] == two["fingerprint"] and one["forget_set"] == two["forget_set"]


def test_one_process_speaks_for_all(both):
    _, (main, other) = both
    assert main.out.count("test_accuracy") == 1 and main.err.count("Training the original model") == 1
    assert other.out == "" and other.err == ""


def test_what_fails_in_one_process_ends_all_with_its_sentence(both, tmp_path):
    (tmp_path / "method").mkdir()
    (tmp_path / "breaking.py").write_text(BREAKING)
    (tmp_path / "method" / "breaking.yaml").write_text(
        "# @package _global_\n# Fails in one process\nmethod: {name: breaking, _target_: breaking.Breaking}\n"
    )
    words = (*RUN, "unlearning.epochs=2", "evaluation.reference=none", f"out={both[0] / 'two'}")
    main, other = launch("-m", "mubench", *words, "--config-dir", str(tmp_path), "method=breaking")
    assert (main.status, other.status, other.err) == (1, 1, "")
    assert main.err.count("mubench: process 1: ValueError: out of luck") == 1
    (folder,) = both[0].glob("two/runs/*/*/breaking/*/*")
    record = record_of(folder)
    assert (record["status"], record["error"]) == ("failed", "process 1: ValueError: out of luck")


@pytest.mark.parametrize(("variable", "option"), REFUSED.items())
def test_other_layouts_of_a_model_are_refused(cli, monkeypatch, variable, option):
    monkeypatch.setenv(variable, "true")
    done = cli("run", "--dry-run")
    assert done.status == 2 and done.err.startswith(f"mubench: accelerate launch {option}: of all layouts,")


def test_one_process_has_nobody_to_share_a_model_with(cli, monkeypatch):
    monkeypatch.setenv(SHARDED, "true")
    done = cli("run", "--dry-run")
    assert (done.status, done.err) == (
        2, "mubench: --use_fsdp shares a model out over processes: start more than one\n"
    )  # fmt: skip


def test_a_mistake_is_told_once_and_ends_all_with_its_status():
    main, other = launch("-m", "mubench", "verify", "salun")
    assert (main.status, main.out, other.status, other.out, other.err) == (2, "", 2, "", "")
    assert main.err == "mubench: mubench verify is the work of one process: start it without a launcher\n"


def test_two_processes_share_a_sweep(tmp_path):
    words = ("-m", "method=neggrad", "deletion.ratio=2,4", "evaluation.reference=none")
    done = launch("-m", "mubench", *RUN, *words, f"out={tmp_path}")
    assert [one.status for one in done] == [0, 0], done[0].err
    assert done[0].err.endswith("2 runs: 2 complete, 0 failed\n")
