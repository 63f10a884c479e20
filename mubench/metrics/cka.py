"""Linear CKA: how alike two models' penultimate features are (Kornblith et al., 1905.00414)."""

from __future__ import annotations

import numpy as np

from mubench.metrics.base import Outputs, Unavailable, View, metric
from mubench.metrics.performance import finite

FEWEST = 4  # examples that the unbiased estimator takes


def cka(x: np.ndarray, y: np.ndarray) -> float:
    """Linear CKA of features (M, D) and (M, E) of the same examples, in [-1, 1]; 1 where they are alike.

    Rotations, shifts and a common scale of either change nothing. With the unbiased estimator of HSIC
    (Song et al., 2007): the biased one of Kornblith et al. nears 1 for any two features where M is small
    beside D, and a forget set often is. Unrelated features score 0 in the mean.
    """
    if len(x) != len(y) or len(x) < FEWEST:
        raise Unavailable(f"CKA takes {FEWEST} examples or more, the same for both models")
    first, second = (_centred(features @ features.T) for features in (x, y))
    size = np.sqrt((first**2).sum() * (second**2).sum())
    if size == 0:
        raise Unavailable("a model's features are the same for every example")
    return float((first * second).sum() / size)


def _centred(gram: np.ndarray) -> np.ndarray:
    """The Gram matrix (M, M) centred without bias: no diagonal, rows and columns that sum to 0."""
    count = len(gram)
    bare = gram - np.diag(np.diag(gram))
    rows = bare.sum(axis=1) / (count - 2)
    centred = bare - rows[:, None] - rows + bare.sum() / ((count - 1) * (count - 2))
    return np.asarray(centred - np.diag(np.diag(centred)))


def penultimate(outputs: Outputs) -> np.ndarray:
    """The stored features (M, D) in float64, shifted and scaled to be of size 1: sums stay exact."""
    if outputs.penultimate is None:
        raise Unavailable("the predictions hold no features of the last layer's input")
    values = finite(outputs.penultimate, "rows of features")
    values -= values.mean(axis=0)
    return values / (np.abs(values).max() or 1.0)


def between(view: View, split: str, role: str) -> float:
    """CKA of one model's features with the retrained model's; Unavailable if not of the same examples."""
    mine, reference = view.outputs(split, role), view.outputs(split, "retrained")
    x, y = penultimate(mine), penultimate(reference)
    if not np.array_equal(np.asarray(mine.probed), np.asarray(reference.probed)):
        raise Unavailable(f"the two models' features are not of the same {split} examples")
    return cka(x, y)


def _declare(split: str) -> None:
    """Declare `cka_<split>`."""
    name, unmoved = f"cka_{split}", f"cka_{split}_original"

    def function(view: View) -> dict[str, float]:
        return {name: between(view, split, view.role), unmoved: between(view, split, "original")}

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"""Linear CKA with the retrained model's penultimate features on {split}, in [-1, 1].

    Of what goes into the layer that makes the scores, on a fixed sample; of token models the mean over an
    example's label tokens, of denoisers over the picture and the noise levels. `{unmoved}` is
    the original's: what changing nothing scores.
    """
    metric(
        goal={name: "higher"}, scope="relative", needs=("original", "retrained"), reads="penultimate",
        source="Kornblith et al., 1905.00414",
    )(function)  # fmt: skip


for _split in ("forget", "test"):
    _declare(_split)
