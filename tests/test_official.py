"""MU-Bench's lists: exact where the row order of the labels is known, and the rule everywhere."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from mubench.errors import UsageError
from mubench.official import CHAIN, SEED, draw, first_percent, official_ids, sha256_of

CHAINED = ["imdb", "ddi2013", "cifar100", "nlvr2", "speech_commands"]
LENGTHS = {
    "imdb": 2500,
    "ddi2013": 2500,
    "cifar100": 5000,
    "nlvr2": 8620,
    "speech_commands": 5040,
    "cifar10": 5000,
}
SHA256 = {
    "imdb": "af874f352f4137d39d676864ddaa7f692789ea6783b421debf27d2437c2a5e64",
    "speech_commands": "edacf89f4c27b0c6b2ce4ce8df49a00ba0a262153ae8f4709867ef1a6dc34a16",
}
# The first ids of the lists whose row order we do not have, all of class 0.
PUBLISHED = {
    "ddi2013": [8473, 8713, 3786, 1105, 5263],
    "cifar100": [26604, 23399, 27576, 11188, 31139],
    "cifar10": [14943, 26011, 26624, 10523, 7160],
    "nlvr2": [14317, 84808, 53251, 39276, 73257],
}


def blocks(dataset: str) -> np.ndarray:
    """Labels (N,) of the right counts, class after class."""
    counts = CHAIN[dataset].counts
    return np.repeat(np.arange(len(counts)), counts)


def mixed(dataset: str, seed: int = 0) -> np.ndarray:
    """Labels (N,) of the right counts in random order."""
    return np.random.default_rng(seed).permutation(blocks(dataset))


def speech_commands() -> np.ndarray:
    """The hub's order: silence, then folder by folder in the alphabet, unknown words between.

    The places of the ten keyword blocks were read off the published list; its hash confirms them.
    """
    starts = [47368, 22728, 44111, 5552, 17590, 30176, 26420, 24581, 37138, 12929, 0]
    labels = np.full(51094, 11)
    for label, (start, count) in enumerate(zip(starts, CHAIN["speech_commands"].counts, strict=False)):
        labels[start : start + count] = label
    return labels


def literal(labels: np.ndarray, rng: np.random.RandomState) -> list[int]:
    """The rule as spec/tasks.md words it, one step a line."""
    classes = range(labels.max() + 1)
    per_class = max(1, len(labels) // 100 // len(classes))
    chosen: list[int] = []
    for number in range(1, 11):
        for label in classes:
            free = np.setdiff1d(np.flatnonzero(labels == label), chosen)
            count = min(per_class, len(free))
            chosen += rng.choice(free, count, replace=False).tolist() if count else []
            rng.permutation(0)
        short = number * per_class * len(classes) - len(chosen)
        if short > 0:
            free = np.setdiff1d(np.arange(len(labels)), chosen)
            chosen += rng.choice(free, short, replace=False).tolist()
    return chosen


def position(rng: np.random.RandomState) -> list[int]:
    """What identifies a generator's position: its next words."""
    return rng.randint(0, 2**32, size=8, dtype=np.uint32).tolist()


def started(dataset: str) -> np.random.RandomState:
    rng = np.random.RandomState(SEED)
    rng.randint(0, 2**32, size=CHAIN[dataset].skip, dtype=np.uint32)
    return rng


def test_imdb_is_reproduced_exactly() -> None:
    ids = official_ids("imdb", blocks("imdb"))
    assert ids[:10].tolist() == [1766, 11919, 8909, 4963, 10099, 2754, 2858, 5568, 11673, 5778]
    assert sha256_of(ids) == SHA256["imdb"]


def test_speech_commands_is_reproduced_exactly() -> None:
    """The last of the chain: its place follows from the counts of all four before it."""
    ids = official_ids("speech_commands", speech_commands())
    assert ids[:5].tolist() == [49170, 48338, 49117, 47772, 48080]
    assert sha256_of(ids) == SHA256["speech_commands"]


@pytest.mark.parametrize("dataset", PUBLISHED)
def test_the_other_lists_start_where_published(dataset: str) -> None:
    """Row order unknown: the ranks drawn within class 0 must be those of the published ids.

    The r-th of n rows of a class lies near r/n of all N rows; by five deviations of a random order
    at most, and by 5 % of N for ddi2013, whose classes are clustered.
    """
    counts, total = np.array(CHAIN[dataset].counts), sum(CHAIN[dataset].counts)
    ids = np.array(PUBLISHED[dataset])
    rank = official_ids(dataset, blocks(dataset))[:5]  # in blocks, class 0's ids are its ranks
    assert np.array_equal(np.argsort(rank), np.argsort(ids))
    share = (rank + 0.5) / counts[0]
    deviation = np.sqrt(share * (1 - share) / counts[0])
    tolerance = 0.05 if dataset == "ddi2013" else 5 * deviation
    assert np.all(np.abs(ids / total - share) < tolerance)


@pytest.mark.parametrize(("before", "after"), list(pairwise(CHAINED)))
def test_each_list_starts_where_the_one_before_ended(before: str, after: str) -> None:
    rng = started(before)
    draw(blocks(before), rng)
    assert position(rng) == position(started(after))


@pytest.mark.parametrize("before", ["imdb", "cifar100", "nlvr2"])
def test_where_a_list_ends_depends_on_counts_only(before: str) -> None:
    ends = []
    for labels in (blocks(before), mixed(before, 1), mixed(before, 2)):
        rng = started(before)
        draw(labels, rng)
        ends.append(position(rng))
    assert ends[0] == ends[1] == ends[2]


def test_the_whole_chain_by_the_literal_rule() -> None:
    """One generator through all five, slow and obvious; ddi2013 in blocks leaves it where published."""
    rng = np.random.RandomState(SEED)
    for dataset in CHAINED:
        labels = blocks(dataset) if dataset in ("imdb", "ddi2013") else mixed(dataset)
        assert literal(labels, rng) == official_ids(dataset, labels).tolist(), dataset


@pytest.mark.parametrize("counts", [(40, 30, 30), (100, 90, 10, 3), (300, 1, 1), (40, 3)])
def test_draw_is_the_literal_rule(counts: tuple[int, ...]) -> None:
    """Also where classes run out, and where a percent is less than a row per class."""
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts))
    fast, slow = np.random.RandomState(3), np.random.RandomState(3)
    assert draw(labels, fast).tolist() == literal(labels, slow)
    assert position(fast) == position(slow)


@pytest.mark.parametrize("dataset", CHAIN)
def test_lists_are_long_nested_and_hold_each_row_once(dataset: str) -> None:
    ids = official_ids(dataset, mixed(dataset))
    assert len(ids) == LENGTHS[dataset] == len(np.unique(ids))
    for ratio in (2, 4, 6, 8, 10):
        part = first_percent(ids, ratio)
        assert len(part) == LENGTHS[dataset] * ratio // 10
        assert np.array_equal(part, ids[: len(part)])


@pytest.mark.parametrize("dataset", ["imdb", "cifar100", "nlvr2", "cifar10"])
def test_every_percent_is_balanced_where_no_class_runs_out(dataset: str) -> None:
    labels = mixed(dataset)
    ids = official_ids(dataset, labels).reshape(10, -1)
    for percent in ids:
        assert len(set(np.bincount(labels[percent]))) == 1


def test_a_class_that_runs_out_is_made_up_from_the_others() -> None:
    labels = mixed("ddi2013")
    taken = np.bincount(labels[official_ids("ddi2013", labels)])
    assert taken[4] == 177 and taken.sum() == 2500 and min(taken[:4]) >= 500


def test_the_same_labels_give_the_same_list_and_the_caller_may_change_it() -> None:
    labels = mixed("cifar10")
    first = official_ids("cifar10", labels)
    expected = first.copy()
    first[:] = 0
    assert np.array_equal(official_ids("cifar10", labels.astype(np.uint8)), expected)


def test_an_unknown_list_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UsageError, match=r"'cifar1000' has no official list.*Did you mean 'cifar100'\?"):
        official_ids("cifar1000", np.zeros(3, dtype=int))


@pytest.mark.parametrize(
    ("labels", "found"),
    [
        (mixed("cifar100")[:100], r"here are 100 rows in \d+ classes"),
        (np.repeat(np.arange(10), 5000), r"here are 50,000 rows in 10 classes \(5000 each\)"),
        (blocks("cifar100") + 1, r"here are 50,000 rows in 100 classes"),
        (np.array([], dtype=int), r"here are 0 rows in 0 classes"),
    ],
)
def test_other_data_is_refused_with_expected_and_found_counts(labels: np.ndarray, found: str) -> None:
    with pytest.raises(UsageError, match=r"50,000 rows in 100 classes \(500 each\); " + found) as refusal:
        official_ids("cifar100", labels)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("ratio", [0, -1, 10.5, 50])
def test_ratios_outside_the_list_are_refused(ratio: float) -> None:
    with pytest.raises(UsageError, match="official lists go from 0 to 10 percent"):
        first_percent(np.arange(100), ratio)


def test_sha256_is_of_the_ids_as_lines() -> None:
    """printf '1\\n22\\n3' | sha256sum"""
    assert sha256_of(np.array([1, 22, 3])) == SHA_OF_1_22_3


SHA_OF_1_22_3 = "18f09e89a008dd6139745a4737910cc2ea0086ac374b5b91f2c630ced17ee0d8"
