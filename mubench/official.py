"""MU-Bench's lists of deleted samples (Cheng & Amiri, 2024), regenerated from the training labels.

For each of ten percents, each class in turn gives the same number of rows, drawn without replacement from
those still free; what an exhausted class cannot give comes from the free rows of any class. The paper drew
five lists one after the other from one generator, NumPy's RandomState(42), and CIFAR-10's from a fresh one.
A list starts where the one before it left the generator; how many of its 32-bit words went by follows from
class counts, so that no other dataset's labels are needed. Only after ddi2013, which exhausts a class, does
it also depend on the order of rows, by about a hundred words: `skip` is that of the published list.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from mubench.errors import UsageError, did_you_mean

PERCENTS = 10  # where the lists end
SEED = 42


@dataclass(frozen=True)
class Listed:
    """A training set with an official list: its class counts in label order, and where its draws start."""

    counts: tuple[int, ...]
    skip: int  # 32-bit words that earlier lists took from the generator


CHAIN = {
    "imdb": Listed((12500, 12500), 0),
    "ddi2013": Listed((21745, 1163, 725, 1486, 177), 349_717),
    "cifar100": Listed((500,) * 100, 946_456),
    "nlvr2": Listed((42462, 43911), 1_614_279),  # False, True
    "speech_commands": Listed(
        (1860, 1853, 1843, 1842, 1839, 1852, 1864, 1839, 1885, 1861, 6, 32550), 2_822_963
    ),
    "cifar10": Listed((5000,) * 10, 0),
}


def official_ids(dataset: str, labels: np.ndarray) -> np.ndarray:
    """The whole list, 10 %: row ids in their published order, (n,) int64, from labels (N,) in hub order.

    UsageError if there is no such list, or if the class counts are not those of the published data.
    """
    if dataset not in CHAIN:
        hint = did_you_mean(dataset, CHAIN)
        raise UsageError(f"'{dataset}' has no official list; {', '.join(CHAIN)} have one.{hint}")
    values, found = np.unique(labels, return_counts=True)
    expected = CHAIN[dataset].counts
    if not (np.array_equal(values, np.arange(len(expected))) and np.array_equal(found, expected)):
        raise UsageError(
            f"the official list of {dataset} needs the training set as published, "
            f"{_said(expected)}; here are {_said(found.tolist())}"
        )
    return np.frombuffer(_list(dataset, labels.astype(np.int16).tobytes()), dtype=np.int64).copy()


def first_percent(ids: np.ndarray, ratio: float) -> np.ndarray:
    """The part of a whole list (n,) that deletes `ratio` percent of the training set."""
    if not 0 < ratio <= PERCENTS:
        raise UsageError(
            f"official lists go from 0 to {PERCENTS} percent of the training set, not to {ratio:g}; "
            "for other ratios try deletion=random"
        )
    return ids[: int(ratio / PERCENTS * len(ids))]


def sha256_of(ids: np.ndarray) -> str:
    """The fingerprint of a list: of its decimal ids, one a line, with no newline at the end."""
    return hashlib.sha256("\n".join(map(str, ids.tolist())).encode()).hexdigest()


@lru_cache(maxsize=8)
def _list(dataset: str, labels: bytes) -> bytes:
    rng = np.random.RandomState(SEED)
    rng.randint(0, 2**32, size=CHAIN[dataset].skip, dtype=np.uint32)
    return draw(np.frombuffer(labels, dtype=np.int16), rng).tobytes()


def draw(labels: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
    """The published rule on any labels (N,), all classes present: ids (n,) int64, about 10 % of N."""
    members = np.split(np.argsort(labels, kind="stable"), np.cumsum(np.bincount(labels))[:-1])
    each = max(1, len(labels) // 100 // len(members))  # rows per class and percent
    free = np.ones(len(labels), dtype=bool)
    chosen: list[int] = []

    def take(rows: np.ndarray, count: int) -> None:
        rows = rows[free[rows]][rng.permutation(np.count_nonzero(free[rows]))[:count]]
        free[rows] = False
        chosen.extend(rows.tolist())

    for percent in range(1, PERCENTS + 1):
        for rows in members:
            take(rows, each)
        missing = percent * each * len(members) - len(chosen)
        if missing > 0:
            take(np.arange(len(labels)), missing)
    return np.array(chosen, dtype=np.int64)


def _said(counts: Sequence[int]) -> str:
    """Class counts as words: '50,000 rows in 100 classes (500 each)'."""
    if len(set(counts)) == 1:
        sizes = f"{counts[0]} each"
    else:
        sizes = ", ".join(map(str, counts[:12])) + (", …" if len(counts) > 12 else "")
    return f"{sum(counts):,} rows in {len(counts)} classes ({sizes})"
