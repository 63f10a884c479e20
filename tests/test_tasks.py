"""Tasks: real layouts of files in small, and what is said of broken ones."""

from __future__ import annotations

import gzip
import io
import shutil
import struct

import datasets
import numpy as np
import pytest
from PIL import Image as Pillow

from mubench import catalog, encoding
from mubench.errors import UsageError
from mubench.modalities.image import Image
from mubench.official import official_ids
from mubench.plan import Planner
from mubench.progress import Reporter
from mubench.typed import component

DIRS = catalog.config_dirs()


def task(name: str, **changes):
    settings = Planner(DIRS).cells([f"task={name}"], multirun=False)[0].settings
    return component({**settings.task, **changes}, "task")


def load(name: str, out, **changes):
    return encoding.load(task(name, **changes), Image("image"), {}, out, Reporter(quiet=True))


def png(seed: int, side: int = 32) -> dict:
    stream = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    Pillow.fromarray(pixels).save(stream, format="PNG")
    return {"bytes": stream.getvalue(), "path": None}


def cifar_table(count: int, fine: bool = True) -> datasets.Dataset:
    """Rows in the hub's form: img, fine_label, coarse_label or img, label."""
    labels = [row % (100 if fine else 10) for row in range(count)]
    names = {"fine_label": 100, "coarse_label": 20} if fine else {"label": 10}
    features = {
        "img": datasets.Image(),
        **{name: datasets.ClassLabel(names=[f"c{i}" for i in range(size)]) for name, size in names.items()},
    }
    rows = {"img": [png(row) for row in range(count)], **{
        name: [label % size for label in labels] for name, size in names.items()}}  # fmt: skip
    return datasets.Dataset.from_dict(rows, features=datasets.Features(features))


def test_digits_are_split_with_1347_to_train_on(tmp_path):
    data = load("digits", tmp_path)
    assert {name: len(part) for name, part in data.splits.items()} == {
        "train": 1347, "validation": 90, "test": 360}  # fmt: skip
    assert data["train"].inputs["pixel_values"].shape == (1347, 1, 8, 8)
    assert int(data["train"].inputs["pixel_values"].max()) == 255
    assert not set(data["train"].ids) & set(data["validation"].ids)
    shares = np.bincount(data["validation"].targets.numpy())
    assert shares.min() >= 8 and shares.max() <= 10


def test_encoded_columns_are_cached_and_a_damaged_cache_is_made_again(tmp_path, monkeypatch):
    first = load("digits", tmp_path)
    monkeypatch.setattr("mubench.tasks.digits.Digits.load", lambda self: pytest.fail("loaded again"))
    encoding._remembered.cache_clear()
    again = load("digits", tmp_path)
    assert np.array_equal(first["test"].inputs["pixel_values"], again["test"].inputs["pixel_values"])
    monkeypatch.undo()
    encoding._remembered.cache_clear()
    (file,) = (tmp_path / "cache/digits").glob("*/train.pixel_values.npy")
    file.write_bytes(file.read_bytes()[:-1] + b"\1")
    reporter = Reporter(log=tmp_path / "log.txt", quiet=True)
    encoding.load(task("digits"), Image("image"), {}, tmp_path, reporter)
    assert "train.pixel_values.npy is not what was written" in (tmp_path / "log.txt").read_text()
    assert not file.read_bytes().endswith(b"\1")


def test_other_settings_of_a_task_are_other_columns(tmp_path):
    folder = tmp_path / "copy"
    datasets.DatasetDict(train=cifar_table(40), test=cifar_table(20)).save_to_disk(folder)
    fine = load("cifar100", tmp_path, source=str(folder))
    coarse = load("cifar100", tmp_path, source=str(folder), label_field="coarse_label")
    assert (len(fine.classes), len(coarse.classes)) == (100, 20)


@pytest.mark.parametrize("layout", ["save_to_disk", "parquet"])
@pytest.mark.parametrize("name", ["cifar100", "cifar10"])
def test_cifar_loads_from_a_local_copy_in_either_layout(tmp_path, name, layout):
    folder, fine = tmp_path / "copy", name == "cifar100"
    tables = {"train": cifar_table(200, fine), "test": cifar_table(50, fine)}
    if layout == "save_to_disk":
        datasets.DatasetDict(tables).save_to_disk(folder)
    else:
        for split, table in tables.items():
            (folder / name).mkdir(parents=True, exist_ok=True)
            table.to_parquet(folder / name / f"{split}-00000-of-00001.parquet")
    data = load(name, tmp_path, source=str(folder))
    classes = 100 if fine else 10
    assert len(data.classes) == classes and data.classes[3] == "c3"
    assert (len(data["train"]), len(data["validation"]), len(data["test"])) == (190, 10, 50)
    row = data["train"].ids[5]
    expected = np.asarray(Pillow.open(io.BytesIO(png(row)["bytes"]))).transpose(2, 0, 1)
    assert np.array_equal(data["train"].inputs["pixel_values"][5], expected)
    assert data["train"].targets[5] == row % classes


def test_validation_spares_the_rows_of_the_official_list():
    labels = np.repeat(np.arange(10), 5000)
    held_out = encoding.validation_rows(task("cifar10"), labels)
    assert len(held_out) == 2500 and np.bincount(labels[held_out]).tolist() == [250] * 10
    assert not set(held_out) & set(official_ids("cifar10", labels))


def test_the_mini_twin_has_cifars_fields_noise_in_training_only_and_is_the_same_each_time():
    from mubench.tasks.shapes import coloured_shapes, draw

    train, test = (coloured_shapes(split, 400, 200, 0.1, 42) for split in ("train", "test"))
    assert train.column_names == cifar_table(1).column_names
    assert train["fine_label"] == coloured_shapes("train", 400, 200, 0.1, 42)["fine_label"]
    clean = coloured_shapes("train", 400, 200, 0.0, 42)
    wrong = np.mean(np.array(train["fine_label"]) != np.array(clean["fine_label"]))
    assert 0.05 < wrong < 0.15
    assert test["fine_label"] == coloured_shapes("test", 400, 200, 0.0, 42)["fine_label"]
    assert draw(3, 4, np.random.default_rng(0)).shape == (32, 32, 3)


def test_cifar10s_twin_has_its_fields_and_its_noise_in_training_only():
    from mubench.tasks.shapes import SHAPE_NAMES, shapes_alone

    noisy, clean = (shapes_alone("train", 400, 200, noise, 42) for noise in (0.1, 0.0))
    assert noisy.column_names == cifar_table(1, fine=False).column_names
    assert noisy.features["label"].names == list(SHAPE_NAMES)
    assert 0.05 < np.mean(np.array(noisy["label"]) != np.array(clean["label"])) < 0.15
    tests = (shapes_alone("test", 400, 200, noise, 42) for noise in (0.1, 0.0))
    assert next(tests)["label"] == next(tests)["label"]


def test_the_mini_twin_goes_through_the_same_loader(tmp_path):
    changes = {"generate": {"_target_": "mubench.tasks.shapes.coloured_shapes", "train": 300, "test": 100,
                            "noise": 0.1, "seed": 1}}  # fmt: skip
    data = load("mini/cifar100", tmp_path, **changes)
    assert len(data.classes) == 100 and data.classes[0] == "red disc"
    assert data["test"].inputs["pixel_values"].shape == (100, 3, 32, 32)


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


@pytest.fixture
def idx_folder(tmp_path):
    """Four IDX files as they are published, two of them compressed."""
    folder = tmp_path / "idx"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for prefix, count in (("train", 60), ("t10k", 20)):
        images = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        labels = (np.arange(count) % 10).astype(np.uint8)
        (folder / f"{prefix}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images)))
        (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(idx(labels))
    return folder


def test_fashion_mnist_reads_idx_files(tmp_path, idx_folder):
    data = load("fashion_mnist", tmp_path, source=str(idx_folder))
    assert (len(data["train"]), len(data["test"])) == (57, 20)
    assert data.classes[9] == "Ankle boot"
    assert data["test"].inputs["pixel_values"].shape == (20, 1, 28, 28)


def test_broken_idx_files_are_named(tmp_path, idx_folder):
    images = idx_folder / "train-images-idx3-ubyte.gz"
    images.write_bytes(images.read_bytes()[:500])
    with pytest.raises(UsageError, match=r"train-images-idx3-ubyte\.gz is not a whole IDX file"):
        load("fashion_mnist", tmp_path, source=str(idx_folder))
    images.unlink()
    with pytest.raises(UsageError, match=r"train-images-idx3-ubyte\(\.gz\) is missing"):
        load("fashion_mnist", tmp_path, source=str(idx_folder))


def test_broken_rows_are_named_before_training(tmp_path):
    folder = tmp_path / "copy"
    good, rows = (
        cifar_table(20, False),
        cifar_table(20, False).cast_column("img", datasets.Image(decode=False)),
    )
    broken = rows.map(lambda row, at: {"img": {"bytes": b"no png", "path": None}} if at == 7 else row,
                      with_indices=True)  # fmt: skip
    datasets.DatasetDict(train=broken, test=good).save_to_disk(folder)
    with pytest.raises(UsageError, match="row 7 of train: the image cannot be decoded"):
        load("cifar10", tmp_path, source=str(folder))


def test_a_folder_without_the_data_says_what_was_looked_for(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"no train split there .*train\*\.parquet"):
        load("cifar100", tmp_path, source=str(tmp_path / "empty"))
    with pytest.raises(UsageError, match="there is no such file or folder"):
        task("cifar100", source="nowhere")


def test_the_wrong_fields_are_named(tmp_path):
    folder = tmp_path / "copy"
    datasets.DatasetDict(train=cifar_table(20, False), test=cifar_table(9, False)).save_to_disk(folder)
    with pytest.raises(UsageError, match="the data has no field 'fine_label', only img, label"):
        load("cifar100", tmp_path, source=str(folder))


def test_a_local_copy_is_known_by_its_contents_wherever_it_lies(tmp_path):
    datasets.DatasetDict(train=cifar_table(9), test=cifar_table(3)).save_to_disk(tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    first, second = (task("cifar100", source=str(tmp_path / place)).identity() for place in "ab")
    assert first == second and first.startswith("local ")
    (table,) = (tmp_path / "b/test").glob("*.arrow")
    table.write_bytes(table.read_bytes()[:-1] + b"\1")
    assert task("cifar100", source=str(tmp_path / "b")).identity() != first
