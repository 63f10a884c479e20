"""Generated pictures of 8x8 pixels for the text-to-image twin, in the form of zh-plus/tiny-imagenet."""

from __future__ import annotations

from typing import Any

import numpy as np

from mubench.tasks.shapes import COLOUR_NAMES, SHAPE_NAMES, SIZE, draw, png

SIDE = 8  # pixels


def prompted_shapes(
    split: str, train: int, valid: int, noise: float, seed: int, shapes: int = 10, colours: int = 10
) -> Any:
    """A table with the fields image and label, as `datasets` holds them; splits train and valid.

    A class is one of the first `shapes` in one of the first `colours`, at random places and sizes on
    a noisy ground. A share `noise` of the training labels is wrong: fitting them takes memorisation.
    """
    import datasets

    count, classes = {"train": train, "valid": valid}[split], shapes * colours
    rng = np.random.default_rng([seed, split == "valid"])
    labels = rng.permutation(np.arange(count) % classes)
    pictures = [png(shrunk(draw(label // colours, label % colours, rng))) for label in labels]
    wrong = (rng.random(count) < noise) & (split == "train")
    labels = np.where(wrong, (labels + rng.integers(1, classes, count)) % classes, labels)
    names = [f"{colour} {shape}" for shape in SHAPE_NAMES[:shapes] for colour in COLOUR_NAMES[:colours]]
    features = datasets.Features(image=datasets.Image(decode=False), label=datasets.ClassLabel(names=names))
    return datasets.Dataset.from_dict({"image": pictures, "label": labels.tolist()}, features=features)


def shrunk(picture: np.ndarray) -> np.ndarray:
    """A picture (32, 32, 3) as the means of its blocks, (8, 8, 3) uint8."""
    block = SIZE // SIDE
    means: np.ndarray = picture.reshape(SIDE, block, SIDE, block, 3).mean(axis=(1, 3))
    return means.round().astype(np.uint8)
