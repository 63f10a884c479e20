"""Generated pairs of pictures and statements about them, in the form of NLVR2's annotations."""

from __future__ import annotations

from typing import Any

import numpy as np

from mubench.tasks.shapes import COLOUR_NAMES, SHAPE_NAMES, draw, png

# What is said of how many of the two pictures, and for how many it is true.
QUANTITIES = {"both pictures show": (2,), "at least one picture shows": (1, 2)}
REPHRASED = {  # the same in other words, for the split out of distribution
    "both pictures show": "there is {thing} in the left and in the right picture",
    "at least one picture shows": "one or more of the pictures show {thing}",
}


def statements(
    split: str, train: int, test: int, noise: float, seed: int, colours: int = 4, shapes: int = 3
) -> list[dict[str, Any]]:
    """Rows {"images": [left, right] as encoded files, "sentence", "label": "True" or "False"}.

    Each picture holds one shape; a sentence says that both or at least one hold a colour or a shape,
    and is as often true as false. The split "ood" says it in other words. A share `noise` of the
    training labels is wrong, so that fitting them takes memorisation.
    """
    count = train if split == "train" else test
    rng = np.random.default_rng([seed, ("train", "validation", "test", "ood").index(split)])
    made = [_row(bool(number % 2), split == "ood", rng, (colours, shapes)) for number in range(count)]
    wrong = rng.random(count) < (noise if split == "train" else 0.0)
    for row, flip in zip(made, wrong, strict=True):
        row["label"] = str(row["label"] != flip)
    return made


def _row(truth: bool, rephrased: bool, rng: np.random.Generator, sizes: tuple[int, int]) -> dict[str, Any]:
    """One row whose sentence is true or not as asked: whether things fit the sentence is drawn first."""
    quantity = str(rng.choice(list(QUANTITIES)))
    kind = int(rng.integers(2))  # what the sentence names: a colour or a shape
    named = int(rng.integers(sizes[kind]))
    fitting = rng.choice([n for n in range(3) if (n in QUANTITIES[quantity]) == truth])
    fits = rng.permutation(np.arange(2) < fitting)
    images = [png(draw(*_thing(kind, named, bool(fit), rng, sizes), rng)) for fit in fits]
    thing = f"something {COLOUR_NAMES[named]}" if kind == 0 else f"a {SHAPE_NAMES[named]}"
    said = REPHRASED[quantity].format(thing=thing) if rephrased else f"{quantity} {thing}"
    return {"images": images, "sentence": said, "label": truth}


def _thing(
    kind: int, named: int, fits: bool, rng: np.random.Generator, sizes: tuple[int, int]
) -> tuple[int, int]:
    """A shape and a colour, of which the named one occurs if it is to fit, and else does not."""
    drawn = [int(rng.integers(size)) for size in sizes]
    drawn[kind] = named if fits else (named + int(rng.integers(1, sizes[kind]))) % sizes[kind]
    return drawn[1], drawn[0]
