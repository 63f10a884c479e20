"""How much of the spread comes from which level of seeds: variance components of a balanced design.

Classical estimates from expected mean squares (Searle, Casella & McCulloch, 1992, "Variance Components",
ch. 4). Unlearning seeds lie within a training seed and forget set, evaluation seeds within a run. Training
seeds and forget sets are crossed where every training seed met the same forget sets; else forget sets lie
within training seeds.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from mubench.statistics import Undefined
from mubench.statistics.seeds import Values

Stratum = tuple[str, float, int, int]  # name, sum of squares, degrees of freedom, runs behind one mean
BOTH = "train x forget"


def components(values: Values) -> dict[str, float | None]:
    """Variances by level: train, forget, train x forget (if crossed), unlearn, eval.

    None where a level was not repeated: its part then lies in the nearest level outside it that was. An
    estimate below zero is zero. Undefined if the design is unbalanced: some training seed, forget set or run
    was repeated more often than others.
    """
    runs, crossed = _balanced(values)
    strata, found, error = _strata(runs, crossed), {}, 0.0
    for name, squares, df, size in strata:
        found[name] = max(0.0, squares / df - error) / size if df else None
        if df and not (crossed and name == "forget"):  # training seeds do not lie outside crossed forget sets
            error = squares / df
    return dict(reversed(found.items()))


def _balanced(values: Values) -> tuple[np.ndarray, bool]:
    """Runs as (training seeds, forget sets, unlearning, evaluation seeds); whether the first two cross."""
    tree = _tree(values)
    leaves = [
        [[list(run.values()) for run in sets.values()] for sets in seed.values()] for seed in tree.values()
    ]
    try:
        runs = np.array(leaves, dtype=np.float64)
    except ValueError as error:
        raise Undefined("seeds of one level were not repeated equally often") from error
    return runs, len({tuple(seed) for seed in tree.values()}) == 1


def _tree(values: Values) -> dict[Any, Any]:
    tree: dict[Any, Any] = {}
    for *outer, last in sorted(values):
        node = tree
        for part in outer:
            node = node.setdefault(part, {})
        node[last] = values[(*outer, last)]
    return tree


def _strata(runs: np.ndarray, crossed: bool) -> Iterable[Stratum]:
    """The strata of the analysis of variance, innermost first."""
    t, f, u, e = runs.shape
    run, cell = runs.mean(3, keepdims=True), runs.mean((2, 3), keepdims=True)
    train, forget = runs.mean((1, 2, 3), keepdims=True), runs.mean((0, 2, 3), keepdims=True)
    whole = runs.mean()

    def squares(part: np.ndarray) -> float:
        return float((np.broadcast_to(part, runs.shape) ** 2).sum())

    yield "eval", squares(runs - run), t * f * u * (e - 1), 1
    yield "unlearn", squares(run - cell), t * f * (u - 1), e
    if crossed:
        yield BOTH, squares(cell - train - forget + whole), (t - 1) * (f - 1), u * e
        yield "forget", squares(forget - whole), f - 1, t * u * e
    else:
        yield "forget", squares(cell - train), t * (f - 1), u * e
    yield "train", squares(train - whole), t - 1, f * u * e
