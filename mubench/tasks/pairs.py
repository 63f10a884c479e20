"""Generated pairs of pictures and statements about them, in the form of NLVR2's annotations."""

from __future__ import annotations

from typing import Any

import numpy as np

from mubench.tasks.shapes import COLOUR_NAMES, draw, png

SHAPES = (0, 1, 2, 7)  # those that are mostly colour: disc, square, triangle, diamond
# What is said of how many of the two pictures, and for how many it is true.
QUANTITIES = {"both pictures show": (2,), "at least one picture shows": (1, 2)}
REPHRASED = {  # the same words in another order, for the split out of distribution
    "both pictures show": "something {colour} both pictures show",
    "at least one picture shows": "something {colour} at least one picture shows",
}


def statements(
    split: str, train: int, test: int, noise: float, colours: int, seed: int
) -> list[dict[str, Any]]:
    """Rows {"images": [left, right] as encoded files, "sentence", "label": "True" or "False"}.

    Each picture holds one shape; a sentence says that both or at least one hold something of a
    colour, and is as often true as false. The split "ood" says it in another order. A share `noise` of
    the training labels is wrong, so that fitting them takes memorisation.
    """
    count = train if split == "train" else test
    rng = np.random.default_rng([seed, ("train", "validation", "test", "ood").index(split)])
    made = [_row(bool(number % 2), split == "ood", rng, colours) for number in range(count)]
    wrong = rng.random(count) < (noise if split == "train" else 0.0)
    for row, flip in zip(made, wrong, strict=True):
        row["label"] = str(row["label"] != flip)
    return made


def _row(truth: bool, rephrased: bool, rng: np.random.Generator, colours: int) -> dict[str, Any]:
    """One row whose sentence is true or not as asked: how many pictures fit it is drawn first."""
    quantity, named = str(rng.choice(list(QUANTITIES))), int(rng.integers(colours))
    fitting = rng.choice([n for n in range(3) if (n in QUANTITIES[quantity]) == truth])
    fits = rng.permutation(np.arange(2) < fitting)
    others = (named + rng.integers(1, colours, 2)) % colours
    shown = np.where(fits, named, others)
    images = [png(draw(int(rng.choice(SHAPES)), int(colour), rng)) for colour in shown]
    said = REPHRASED[quantity] if rephrased else f"{quantity} something {{colour}}"
    return {"images": images, "sentence": said.format(colour=COLOUR_NAMES[named]), "label": truth}
