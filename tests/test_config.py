"""What a fingerprint depends on, and where runs and shared models lie."""

from __future__ import annotations

import shutil

import pytest

from mubench import catalog
from mubench.config import RunConfig
from mubench.errors import UsageError
from mubench.plan import Planner

DIRS = catalog.config_dirs()


def config(*typed: str) -> RunConfig:
    (cell,) = Planner(DIRS).cells(typed, multirun=False)
    return cell


@pytest.fixture(scope="module")
def default() -> RunConfig:
    return config()


@pytest.mark.parametrize(
    "typed",
    ["out=/elsewhere", "trainer.threads=1", "trainer.device=cpu", "trainer.residency=host", "save_model=true",
     "force=true", "trainer.checkpoint_minutes=1", "method=salun", "deletion.ratio=5", "deletion.ratio=5e0",
     "method.ratio=0.50", "optimizer.eps=1e-08", "model.build.blocks=1",
     "evaluation=standard", "evaluation.name=mine"],
)  # fmt: skip
def test_what_cannot_change_numbers_keeps_the_fingerprint(default, typed):
    assert config(typed).fingerprint == default.fingerprint


@pytest.mark.parametrize(
    "typed",
    ["method.ratio=0.4", "method.redraw=epoch", "unlearning.lr=1e-5", "unlearning.epochs=6",
     "training.epochs=3", "training.weight_decay=0.5", "optimizer.eps=1e-7",
     "model.build.blocks=2", "modality.augment=shift",
     "deletion.ratio=6", "deletion.balance=proportional", "seed.forget=1", "seed.train=1", "seed.unlearn=1",
     "seed.eval=1", "trainer.precision=bf16", "evaluation.reference=none", "task.validation=10"],
)  # fmt: skip
def test_what_can_change_numbers_changes_the_fingerprint(default, typed):
    assert config(typed).fingerprint != default.fingerprint


def test_all_of_these_are_told_apart():
    typed = [
        "method=scrub",
        "method=scrub method.alpha=1",
        "deletion.ratio=2",
        "seed.unlearn=1",
        "seed.train=1",
    ]
    assert len({config(*words.split()).run_dir for words in typed}) == len(typed)


@pytest.mark.parametrize(
    "typed",
    ["method=scrub", "deletion.ratio=9", "seed.unlearn=1", "seed.forget=1", "seed.eval=1",
     "unlearning.epochs=1", "evaluation.batch_size=7", "deletion=class"],
)  # fmt: skip
def test_runs_share_one_original(default, typed):
    assert config(typed).model_dir("original") == default.model_dir("original")


@pytest.mark.parametrize(
    "typed", ["seed.train=1", "training.lr=1e-5", "model.build.blocks=2", "task.validation=10"]
)
def test_other_training_is_another_original(default, typed):
    assert config(typed).model_dir("original") != default.model_dir("original")


def test_a_retrained_model_belongs_to_its_forget_set(default):
    def retrained(*typed: str):
        return config(*typed).model_dir("retrained")

    assert retrained("method=scrub", "seed.unlearn=1") == default.model_dir("retrained")
    others = ["deletion.ratio=9", "seed.forget=1", "deletion=class"]
    assert len({default.model_dir("retrained"), *map(retrained, others)}) == 4


@pytest.mark.parametrize(("task", "setting"), [("cifar100", "source"), ("imdb", "ood_source")])
def test_a_source_is_known_by_its_contents_not_by_its_place(task, setting, tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    (here / "train.parquet").write_bytes(b"one")
    shutil.copytree(here, there)

    def prints(folder) -> str:
        return config(f"task={task}", f"task.{setting}={folder}").fingerprint

    assert prints(here) == prints(there) != config(f"task={task}").fingerprint
    (there / "train.parquet").write_bytes(b"two")
    assert prints(here) != prints(there)


def test_a_list_of_ids_is_known_by_its_contents_and_leaves_the_original_shared(default, tmp_path):
    one, same, other = (tmp_path / name for name in ("one", "same", "other"))
    one.write_text("1\n2\n")
    same.write_text("1\n2\n")
    other.write_text("1\n3\n")
    a, b, c = (config("deletion=file", f"deletion.path={path}") for path in (one, same, other))
    assert a.fingerprint == b.fingerprint != c.fingerprint
    assert a.model_dir("retrained") == b.model_dir("retrained") != c.model_dir("retrained")
    assert {run.model_dir("original") for run in (a, b, c)} == {default.model_dir("original")}


def test_a_run_lies_under_its_key(default):
    key = default.key
    assert key["ratio"] == 5.0 and isinstance(config("deletion.ratio=5").key["ratio"], float)
    assert default.run_dir.parts[:-1] == ("outputs", "runs", "digits", "resnet-small", "salun", "random-5")
    assert default.run_dir.name == f"seed42-{default.fingerprint[:8]}"
    assert config("deletion=class").run_dir.parent.name == "class"


def test_a_yaml_from_outside_that_lacks_a_name_is_refused(tmp_path):
    (tmp_path / "method").mkdir()
    (tmp_path / "method" / "bare.yaml").write_text("_target_: mubench.methods.neggrad.NegGrad\n")
    planner = Planner(catalog.config_dirs([tmp_path]))
    with pytest.raises(UsageError, match="lacks 'name'"):
        planner.cells(["method=bare"], multirun=False)
