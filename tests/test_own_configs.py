"""Yamls of one's own: which of several of one name is taken, and that plan, run and catalog agree on it."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import ALONE, FAST, mubench, record_of
from omegaconf import OmegaConf

from mubench import catalog
from mubench.config import RunConfig
from mubench.plan import Planner

# Of each group a yaml that is there: what is changed in a copy, and where a run's config shows it.
CHANGES = [
    ("task", "digits", "test: 20.0", "test: 25.0", "task.test", ()),
    ("modality", "image", "augment: none", "augment: shift", "modality.augment", ()),
    ("model", "resnet-small", "epochs: 15", "epochs: 16", "training.epochs", ()),
    ("method", "salun", "ratio: 0.5", "ratio: 0.25", "method.ratio", ("recipe=none",)),
    ("recipe", "salun/image", "ratio: 0.5", "ratio: 0.25", "method.ratio", ()),
    ("deletion", "random", "ratio: 5.0", "ratio: 7.0", "deletion.ratio", ()),
    ("adapter", "lora", "dropout: 0.0", "dropout: 0.5", "adapter.dropout", ("adapter=lora",)),
    ("curriculum", "superloss", "lam: 10.0", "lam: 5.0", "curriculum.lam", ("curriculum=superloss",)),
    ("optimizer", "adamw", "eps: 1e-8", "eps: 1e-7", "training.optimizer.eps", ()),
    ("evaluation", "standard", "batch_size: 512", "batch_size: 64", "evaluation.batch_size", ()),
    ("attack", "noise", "draws: 4", "draws: 2", "evaluation.attacks.noise.draws", ("evaluation=robust",)),
]  # fmt: skip


def changed(folder: Path, group: str, name: str, old: str, new: str) -> Path:
    """A copy of a packaged yaml in a folder, with one setting changed."""
    text = (catalog.packaged_dir() / group / f"{name}.yaml").read_text(encoding="utf-8")
    assert old in text
    path = folder / group / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text.replace(old, new), encoding="utf-8")
    return path


def composed(dirs: list[Path], *typed: str) -> RunConfig:
    (cell,) = Planner(dirs).cells(typed, multirun=False)
    return cell


@pytest.mark.parametrize(
    ("group", "name", "old", "new", "place", "typed"), CHANGES, ids=[change[0] for change in CHANGES]
)
def test_a_yaml_of_ones_own_takes_the_place_of_mubenchs(group, name, old, new, place, typed, tmp_path):
    path = changed(tmp_path / "my own, first", group, name, old, new)
    changed(tmp_path / "second", group, name, old, f"{new}1")
    dirs = catalog.config_dirs([tmp_path / "my own, first", tmp_path / "second"])
    assert catalog.path_of(group, name, dirs) == path
    mine, packaged = composed(dirs, *typed), composed(catalog.config_dirs(), *typed)
    found, before = (OmegaConf.select(OmegaConf.create(cell.resolved), place) for cell in (mine, packaged))
    assert (found, before) == tuple(OmegaConf.create(text)[text.partition(":")[0]] for text in (new, old))
    assert mine.fingerprint != packaged.fingerprint


def test_every_group_of_the_catalog_is_among_them():
    """But sweeps and launchers, which are not of one run, and tracking, which changes no number."""
    assert {change[0] for change in CHANGES} == set(catalog.GROUPS) - {"sweep", "tracking", "hydra/launcher"}


def test_a_sweep_of_ones_own_too(tmp_path):
    changed(tmp_path, "sweep", "ratios", "2,4,6,8,10", "2,3")
    dirs = catalog.config_dirs([tmp_path])
    cells = Planner(dirs).cells(["sweep=ratios"], multirun=False)
    assert [cell.key["ratio"] for cell in cells] == [2, 3]


def test_it_is_told_once_wherever_it_is_chosen(tmp_path):
    path = changed(tmp_path, "optimizer", "adamw", "eps: 1e-8", "eps: 1e-7")
    choices = {
        "optimizer": "adamw",
        "optimizer@training.optimizer": "adamw",
        "method": "salun",
        "sweep": None,
    }
    sentence = f"optimizer adamw from {path}, not mubench's own"
    assert catalog.replaced(choices, catalog.config_dirs([tmp_path])) == [sentence]
    assert catalog.replaced(choices, catalog.config_dirs()) == []
    for folder in (tmp_path, tmp_path / "more"):
        (folder / "task").mkdir(parents=True, exist_ok=True)
        (folder / "task" / "new.yaml").touch()
    both = catalog.config_dirs([tmp_path / "more", tmp_path])
    assert catalog.replaced({"task": "new"}, both) == []


def test_one_planner_leaves_nothing_for_the_next(tmp_path):
    changed(tmp_path, "task", "digits", "test: 20.0", "test: 25.0")
    assert composed(catalog.config_dirs([tmp_path])).settings.task["test"] == 25
    assert composed(catalog.config_dirs()).settings.task["test"] == 20


def test_runs_are_launched_with_them_and_say_so(outputs, tmp_path):
    """In a sweep that Hydra launches; a run's log keeps the line."""
    mine = tmp_path / "mine"
    path = changed(mine, "method", "neggrad", "mubench.methods.neggrad", "homely")
    (mine / "homely.py").write_text(
        "from mubench.methods.neggrad import NegGrad as Theirs\n\n\n"
        "class NegGrad(Theirs):\n    def unlearn(self, run):\n        print('mine at work')\n"
    )
    words = ["-m", "method=neggrad,finetune", *FAST, ALONE, f"--config-dir={mine}", f"out={outputs.folder}"]
    done = mubench("run", *words)
    assert done.status == 0, done.err
    line = f"method neggrad from {path}, not mubench's own"
    assert done.err.count(line) == 1 and done.out.count("mine at work") == 1
    assert "recipe neggrad/image is mubench's own and changes it (recipe=none leaves it out)" in done.err
    _, run = sorted(outputs.runs("neggrad"), key=lambda folder: (folder / "record.json").stat().st_mtime)
    assert (
        line in (run / "log.txt").read_text()
        and record_of(run)["config"]["method"]["_target_"] == "homely.NegGrad"
    )
    (other,) = outputs.runs("finetune")
    assert "not mubench's own" not in (other / "log.txt").read_text()
