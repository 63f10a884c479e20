"""Every mission task from a folder in its real layout, trained and evaluated through its own yaml.

The rows are those of the task's twin, written as the hub or the data's authors hand them out.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import datasets
import pytest
from hydra.utils import call
from omegaconf import OmegaConf

from mubench import catalog
from mubench.experiment import run
from mubench.plan import Planner
from mubench.progress import Reporter
from mubench.tasks.wordnet import WORDS

DIRS = catalog.config_dirs()
ROWS = {"train": 60, "test": 24, "validation": 12, "valid": 24, "count": 40, "kept": 6}
FAST = ("training.epochs=1", "training.batch_size=16", "training.accumulate=1", "unlearning.epochs=1",
        "evaluation.batch_size=32", "evaluation.generate=4", "method=neggrad", "deletion=random",
        "deletion.ratio=15", "trainer.device=cpu")  # fmt: skip


def twin(name: str):
    """The yaml of a task's twin as it stands in its file."""
    return OmegaConf.load(catalog.path_of("task", f"mini/{name}", DIRS))


def generated(name: str, split: str | None = None):
    """A few dozen rows of one of the twin's splits, in the hub's form."""
    made = OmegaConf.to_container(twin(name).task.generate)
    fewer = {key: min(value, ROWS[key]) if key in ROWS else value for key, value in made.items()}
    return call(fewer, **({} if split is None else {"split": split}))


def parquet(name: str, folder: Path) -> list[str]:
    """What the hub holds: a parquet file for each split."""
    for split in OmegaConf.to_container(twin(name).task.splits).values():
        generated(name, split).to_parquet(folder / f"{split}-00000-of-00001.parquet")
    return [f"task.source={folder}"]


def imdb(name: str, folder: Path) -> list[str]:
    """Two data sets, the other one's splits in a folder of its own."""
    ood = OmegaConf.to_container(twin(name).task.ood.generate)
    for split, theirs in (("train", "train"), ("validation", "test"), ("test", "test")):
        table = call({**ood, "train": 12, "test": 12}, split=theirs)
        table.to_parquet(folder / "ood" / f"{split}.parquet")
    return [*parquet(name, folder / "imdb"), f"task.ood_source={folder / 'ood'}"]


def ddi2013(name: str, folder: Path) -> list[str]:
    """BLURB's three files of tab-separated lines."""
    for split, file in (("train", "train.tsv"), ("validation", "dev.tsv"), ("test", "test.tsv")):
        (folder / file).write_text("\n".join(generated(name, split)) + "\n")
    return [f"task.source={folder}"]


def nlvr2(name: str, folder: Path) -> list[str]:
    """The authors' JSON lists, and pictures below images/."""
    for split, file in (("train", "train"), ("validation", "dev"), ("test", "test"), ("ood", "test2")):
        (folder / "images" / file).mkdir(parents=True)
        rows = []
        for number, row in enumerate(generated(name, split)):
            paths = [f"images/{file}/{number}-img{side}.png" for side in (0, 1)]
            for path, image in zip(paths, row["images"], strict=True):
                (folder / path).write_bytes(image["bytes"])
            rows.append({"images": paths, "sentence": row["sentence"], "label": str(row["label"])})
        (folder / f"{file}.json").write_text(json.dumps(rows))
    return [f"task.source={folder}"]


def ucf101(name: str, folder: Path) -> list[str]:
    """AVI files in folders of their classes, and the lists of fold 1."""
    lists, classes = folder / "ucfTrainTestlist", []
    lists.mkdir()
    for split in ("train", "test"):
        lines = []
        for row in generated(name, split):
            path = folder / "UCF-101" / row["path"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(row["bytes"])
            classes = sorted({*classes, path.parent.name})
            lines.append(f"{row['path']} 1" if split == "train" else row["path"])
        (lists / f"{split}list01.txt").write_text("\n".join(lines))
    (lists / "classInd.txt").write_text("".join(f"{n} {c}\n" for n, c in enumerate(classes, start=1)))
    return [f"task.source={folder}"]


def samsum(name: str, folder: Path) -> list[str]:
    """The hub's csv files."""
    for split in ("train", "validation", "test"):
        generated(name, split).to_csv(folder / f"{split}.csv", index=False)
    return [f"task.source={folder}"]


def celeb_profile(name: str, folder: Path) -> list[str]:
    """The user's own file."""
    generated(name).to_json(folder / "people.jsonl")
    return [f"task.source={folder / 'people.jsonl'}"]


def tiny_imagenet(name: str, folder: Path) -> list[str]:
    """Parquet whose classes are called by WordNet's ids, twice as many rows as are used."""
    for split in ("train", "valid"):
        table = generated(name, split)
        names = list(islice(WORDS, table.features["label"].num_classes))
        table = table.cast_column("label", datasets.ClassLabel(names=names))
        table.to_parquet(folder / f"{split}-00000-of-00001.parquet")
    return [f"task.source={folder}", "task.rows=30"]


def tofu(name: str, folder: Path) -> list[str]:
    """JSON lines, a file for each configuration."""
    node = OmegaConf.to_container(twin(name).task)
    for configuration in (*node["splits"].values(), *node["perturbed"]):
        generated(name, configuration).to_json(folder / f"{configuration}.json")
    return [f"task.source={folder}", f"task.per_author={node['per_author']}"]


LAYOUTS: dict[str, Callable[[str, Path], list[str]]] = {
    "cifar10": parquet, "cifar100": parquet, "imdb": imdb, "ddi2013": ddi2013, "nlvr2": nlvr2,
    "speech_commands": parquet, "ucf101": ucf101, "samsum": samsum, "celeb_profile": celeb_profile,
    "tiny_imagenet": tiny_imagenet, "tofu": tofu,
}  # fmt: skip


def test_every_mission_task_has_a_layout_here():
    twins = [name.removeprefix("mini/") for name in catalog.names("task", DIRS) if name.startswith("mini/")]
    assert set(LAYOUTS) == set(twins)


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_real_layout_loads_trains_and_evaluates(name, tmp_path):
    """The real task's yaml, with the twin's small network and sizes."""
    data = tmp_path / "data"
    data.mkdir()
    source = LAYOUTS[name](name, data)
    small = twin(name)
    (model,) = (choice["override /model"] for choice in small.defaults if "override /model" in choice)
    sizes = OmegaConf.to_container(small.get("modality") or OmegaConf.create())
    sizes = [f"modality.{key}={json.dumps(value).replace(chr(34), '')}" for key, value in sizes.items()]
    typed = [f"task={name}", f"model={model}", *source, *sizes, *FAST, f"out={tmp_path / 'out'}"]
    (cell,) = Planner(DIRS).cells(typed, multirun=False)
    record = run(cell, Reporter(quiet=True))
    assert record.complete and record.key["task"] == name
    assert record.data["identity"].startswith("local ")
    for role in ("original", "retrained", "unlearned"):
        assert record.metrics[role]["test_loss"] > 0 and record.metrics[role]["forget_loss"] > 0
    assert record.metrics["unlearned"]["forget_loss"] != record.metrics["original"]["forget_loss"]
