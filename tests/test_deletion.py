"""Forget sets: nested, balanced, hashed, and refused where they cannot be."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from mubench import official
from mubench.data import Columns, Dataset
from mubench.deletion.file import File
from mubench.deletion.official import Official
from mubench.deletion.random import Random
from mubench.deletion.whole_class import WholeClass
from mubench.errors import NotApplicable, UsageError

SIZES = (500, 300, 180, 20)


def data(sizes=SIZES, held_out=(), key=None) -> Dataset:
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(len(sizes)), sizes))
    kept = np.setdiff1d(np.arange(len(labels)), held_out)
    train = Columns({}, torch.from_numpy(labels[kept]), kept)
    return Dataset({"train": train}, tuple(map(str, range(len(sizes)))), labels, key, {})


def counts(split, dataset) -> list[int]:
    labels = dataset["train"].targets.numpy()[split.forget]
    return np.bincount(labels, minlength=len(dataset.classes)).tolist()


@pytest.mark.parametrize("balance", ["class", "proportional"])
def test_a_smaller_ratio_lies_inside_a_larger_one(balance):
    splits = [Random("random", ratio, balance).choose(data(), 42) for ratio in (2, 4, 6, 8, 10, 99)]
    for smaller, larger in pairwise(splits):
        assert np.array_equal(smaller.forget, larger.forget[: len(smaller.forget)])
    for split in splits:
        whole = np.concatenate([split.forget, split.retain])
        assert np.array_equal(np.sort(whole), np.arange(1000))


def test_balanced_takes_as_many_of_each_class_until_one_is_exhausted():
    assert counts(Random("random", 4.0).choose(data(), 1), data()) == [10, 10, 10, 10]
    assert counts(Random("random", 20.0).choose(data(), 1), data()) == [60, 60, 60, 20]


def test_proportional_takes_each_classs_share():
    split = Random("random", 10.0, "proportional").choose(data(), 1)
    assert counts(split, data()) == [50, 30, 18, 2]


def test_the_seed_decides_and_the_hash_is_of_the_data_sets_ids():
    first, again = (Random("random", 5.0).choose(data(), 1) for _ in range(2))
    other = Random("random", 5.0).choose(data(), 2)
    assert np.array_equal(first.forget, again.forget) and first.sha256 == again.sha256
    assert first.sha256 != other.sha256
    shifted = data(held_out=range(100))
    split = Random("random", 5.0).choose(shifted, 1)
    assert split.sha256 == official.sha256_of(shifted["train"].ids[split.forget])


def test_the_number_of_rows_is_the_nearest_to_the_ratio_and_at_least_one():
    assert len(Random("random", 5.0).choose(data((1347, 0)), 0).forget) == 67
    assert len(Random("random", 0.01).choose(data(), 0).forget) == 1
    with pytest.raises(UsageError, match="leaves the retain set empty"):
        Random("random", 99.9).choose(data((1, 1)), 0)


@pytest.mark.parametrize("ratio", [0, 100, -1, 150])
@pytest.mark.parametrize("strategy", [Random, Official])
def test_ratios_outside_are_refused(strategy, ratio):
    with pytest.raises(UsageError, match=rf"above 0 and below 100 .*, not {ratio}"):
        strategy(ratio=ratio)


def test_whole_classes():
    split = WholeClass("class", [1, 3]).choose(data(), 0)
    assert counts(split, data()) == [0, 300, 0, 20]
    with pytest.raises(UsageError, match="class 7 has no training example"):
        WholeClass("class", [7]).choose(data(), 0)
    with pytest.raises(UsageError, match="leaves the retain set empty"):
        WholeClass("class", [0, 1, 2, 3]).choose(data(), 0)
    with pytest.raises(NotApplicable, match="targets are no classes"):
        WholeClass("class", [0]).choose(replace(data(), classes=()), 0)


def test_the_official_list_is_cut_to_its_ratio_and_found_in_the_training_rows():
    labels = np.repeat(np.arange(10), 5000)
    ids = official.official_ids("cifar10", labels)
    held_out = np.setdiff1d(np.arange(50_000), ids)[:2500]
    kept = np.setdiff1d(np.arange(50_000), held_out)
    train = Columns({}, torch.from_numpy(labels[kept]), kept)
    dataset = Dataset({"train": train}, tuple("0123456789"), labels, "cifar10", {})
    split = Official("official", 4.0).choose(dataset, seed=0)
    assert np.array_equal(train.ids[split.forget], ids[:2000])
    assert split.sha256 == official.sha256_of(ids[:2000])
    with pytest.raises(UsageError, match="10"):
        Official("official", 12.0)


def test_the_official_list_needs_the_published_labels():
    with pytest.raises(UsageError, match="no official list"):
        Official("official", 5.0).choose(data(), 0)
    with pytest.raises(UsageError, match="cifar10"):
        Official("official", 5.0).choose(data(key="cifar10"), 0)


def test_a_file_of_ids_or_a_mask(tmp_path):
    dataset = data(held_out=(0, 1))
    ids, mask = tmp_path / "ids.txt", tmp_path / "mask.txt"
    ids.write_text("17\n5\n900\n")
    split = File("file", str(ids)).choose(dataset, 0)
    assert dataset["train"].ids[split.forget].tolist() == [17, 5, 900]
    mask.write_text("\n".join("1" if row in (5, 17) else "0" for row in range(1000)))
    split = File("file", str(mask)).choose(dataset, 0)
    assert dataset["train"].ids[split.forget].tolist() == [5, 17]


@pytest.mark.parametrize(
    ("text", "message"),
    [("17\n17\n", "id 17 stands there twice"), ("1\nx\n", "'x' is not an id"), ("", "forget set empty"),
     ("0\n", "1 of 1 ids are not in the training set.*task.validation=0"), ("5000", "not in the training")],
)  # fmt: skip
def test_a_wrong_file_is_refused(tmp_path, text, message):
    (tmp_path / "ids.txt").write_text(text)
    with pytest.raises(UsageError, match=message):
        File("file", str(tmp_path / "ids.txt")).choose(data(held_out=(0, 1)), 0)


def test_a_missing_file_is_refused():
    with pytest.raises(UsageError, match="there is no such file"):
        File("file", "nowhere.txt")
    with pytest.raises(UsageError, match=r"needs deletion\.path"):
        File("file")
