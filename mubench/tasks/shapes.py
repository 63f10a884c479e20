"""Generated pictures for mini twins: coloured shapes, labelled by shape, or by shape and colour."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np

SIZE = 32
COLOURS = (
    (230, 40, 40), (40, 200, 60), (50, 80, 230), (240, 220, 50), (220, 60, 220),
    (60, 220, 220), (250, 140, 30), (140, 70, 200), (240, 240, 240), (120, 90, 50),
)  # fmt: skip
COLOUR_NAMES = (
    "red", "green", "blue", "yellow", "magenta", "cyan", "orange", "violet", "white", "brown",
)  # fmt: skip
SHAPE_NAMES = (
    "disc", "square", "triangle", "cross", "ring", "bar", "pole", "diamond", "frame", "stripes",
)  # fmt: skip


def inside(shape: int, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Which points of the unit square [-1, 1]^2 a shape covers, as a boolean grid."""
    radius, side = np.hypot(x, y), np.maximum(abs(x), abs(y))
    shapes: list[np.ndarray] = [
        radius < 1,
        side < 0.85,
        (y > -0.8) & (y < 0.9) & (abs(x) < (y + 0.8) / 1.7),
        ((abs(x) < 0.3) | (abs(y) < 0.3)) & (side < 1),
        (radius < 1) & (radius > 0.55),
        (abs(y) < 0.35) & (abs(x) < 1),
        (abs(x) < 0.35) & (abs(y) < 1),
        abs(x) + abs(y) < 1,
        (side < 0.95) & (side > 0.55),
        (side < 0.95) & (np.sin(7 * x) > 0),
    ]
    return shapes[shape]


def draw(shape: int, colour: int, rng: np.random.Generator) -> np.ndarray:
    """One picture (32, 32, 3) uint8: a shape of random place and size on a noisy ground."""
    scale, shift = rng.uniform(8, 13), rng.uniform(-3, 3, 2)
    grid = np.arange(SIZE) - (SIZE - 1) / 2
    x, y = np.meshgrid((grid - shift[0]) / scale, (grid - shift[1]) / scale)
    picture = rng.normal(rng.uniform(30, 90), 18, (SIZE, SIZE, 3))
    covered = inside(shape, x, y)
    picture[covered] = np.asarray(COLOURS[colour]) + rng.normal(0, 22, (covered.sum(), 3))
    return picture.clip(0, 255).astype(np.uint8)


def png(picture: np.ndarray) -> dict[str, Any]:
    """A picture (H, W, 3) uint8 as an encoded file, {"bytes", "path"}."""
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, format="PNG")
    return {"bytes": stream.getvalue(), "path": None}


def coloured_shapes(split: str, train: int, test: int, noise: float, seed: int) -> Any:
    """A table with CIFAR-100's fields (img, fine_label, coarse_label), as `datasets` holds them.

    100 fine classes (ten shapes in ten colours), 10 coarse ones (the shape). A share `noise` of the
    training labels is wrong, so that fitting them takes memorisation.
    """
    rng, fine, images = _drawn(split, train, test, seed)
    fine = _mislabelled(fine, 100, noise if split == "train" else 0.0, rng)
    names = [f"{colour} {shape}" for shape in SHAPE_NAMES for colour in COLOUR_NAMES]
    return _table(images, fine_label=(fine, names), coarse_label=(fine // 10, SHAPE_NAMES))


def shapes_alone(split: str, train: int, test: int, noise: float, seed: int) -> Any:
    """A table with CIFAR-10's fields (img, label): the ten classes are the shapes, in any colour.

    A share `noise` of the training labels is wrong.
    """
    rng, fine, images = _drawn(split, train, test, seed)
    label = _mislabelled(fine // 10, 10, noise if split == "train" else 0.0, rng)
    return _table(images, label=(label, SHAPE_NAMES))


def _drawn(
    split: str, train: int, test: int, seed: int
) -> tuple[np.random.Generator, np.ndarray, list[dict[str, Any]]]:
    """The generator; 10 shape + colour of each row, (N,), as often each; the pictures as files."""
    count = {"train": train, "test": test}[split]
    rng = np.random.default_rng([seed, split == "test"])
    fine = rng.permutation(np.arange(count) % 100)
    return rng, fine, [png(draw(both // 10, both % 10, rng)) for both in fine]


def _mislabelled(labels: np.ndarray, classes: int, share: float, rng: np.random.Generator) -> np.ndarray:
    """The labels (N,), a share of them replaced by wrong ones."""
    wrong = rng.random(len(labels)) < share
    return np.where(wrong, (labels + rng.integers(1, classes, len(labels))) % classes, labels)


def _table(images: list[dict[str, Any]], **labels: tuple[np.ndarray, Sequence[str]]) -> Any:
    """The field img, and one for each kind of label: its values (N,) and the classes' names."""
    import datasets

    kinds = {field: datasets.ClassLabel(names=list(names)) for field, (_, names) in labels.items()}
    features = datasets.Features(img=datasets.Image(decode=False), **kinds)
    rows = {"img": images, **{field: values.tolist() for field, (values, _) in labels.items()}}
    return datasets.Dataset.from_dict(rows, features=features)
