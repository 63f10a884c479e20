"""The NeurIPS 2023 challenge's epsilon, forgetting quality and score (Triantafillou et al., 2406.09073).

Of each example the best test of one or two thresholds between its confidences under N unlearned and under
N retrained models.
"""

from __future__ import annotations

import numpy as np

from mubench.metrics.base import Cell, Goal, Unavailable, metric
from mubench.metrics.performance import share_correct
from mubench.metrics.ulira import confidences

DELTA = 1e-5  # as in the challenge
BIN = 0.5  # width of the bins of epsilon that forgetting quality counts in
FEWEST = 3  # models of each kind: with two the ceiling is 0
GUESSES = 200  # draws that `epsilon_chance` is a mean over
SOURCE = "Triantafillou et al., 2406.09073"


def example_epsilon(unlearned: np.ndarray, retrained: np.ndarray, delta: float = DELTA) -> float:
    """The largest epsilon that a test proves of one example, from confidences (N,) and (M,).

    At least 0; inf if a test never errs.

    A test says "unlearned" between two thresholds (one of which may lie beyond all confidences), or outside:
    epsilon = max(ln (1 - delta - FPR) / FNR, ln (1 - delta - FNR) / FPR). Tests of which one rate alone is 0
    prove nothing with so few models and are passed over, as in the challenge; thresholds lie between
    neighbouring values, where the challenge's code has a grid.
    """
    inside, within = _shares(unlearned, retrained)
    # By (FPR, FNR): "unlearned" inside the window, and "retrained" inside it.
    rates = np.array([[within, 1 - inside], [inside, 1 - within]]).swapaxes(0, 1).reshape(2, -1)
    if np.any(rates.max(axis=0) == 0):
        return float("inf")
    fpr, fnr = rates[:, rates.min(axis=0) > 0]
    found = np.log(np.maximum([(1 - delta - fpr) / fnr, (1 - delta - fnr) / fpr], 1))
    return float(found.max(initial=0))


def _shares(unlearned: np.ndarray, retrained: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shares of both in every window between thresholds, (windows,) each; equal values are never parted."""
    values, place = np.unique(np.concatenate([unlearned, retrained]), return_inverse=True)
    split = place[: len(unlearned)], place[len(unlearned) :]
    ends = np.triu_indices(len(values) + 1, 1)
    found = []
    for part in split:
        below = np.concatenate([[0], np.cumsum(np.bincount(part, minlength=len(values)))])
        found.append((below[ends[1]] - below[ends[0]]) / len(part))
    return found[0], found[1]


def epsilons(unlearned: np.ndarray, retrained: np.ndarray) -> np.ndarray:
    """epsilon (N,) of each example, from confidences (models, N); inf where the two never overlap."""
    return np.array([example_epsilon(*pair) for pair in zip(unlearned.T, retrained.T, strict=True)])


def ceiling(models: int) -> float:
    """The largest finite epsilon of so many models of each kind: one error in N on either side."""
    return float(np.log(models - 1 - DELTA * models))


def forgetting_quality(values: np.ndarray, models: int) -> float:
    """F, the mean of 2 / 2^n, n = 1, 2, … the bin of width .5 that an example's epsilon falls in; in [0, 1].

    Bins end at ln(N - 1), rounded up; an example beyond counts 0.
    """
    bins = np.floor(values / BIN) + 1
    last = np.ceil(np.log(models - 1)) / BIN
    return float(np.where(bins <= last, 2.0 ** (1 - bins), 0).mean())


def chance(models: int, rng: np.random.Generator) -> float:
    """The mean epsilon, at most the ceiling, between two sets of so many models of one kind."""
    draws = rng.random((2, models, GUESSES))
    return float(np.minimum(epsilons(*draws), ceiling(models)).mean())


def _measured(cell: Cell) -> tuple[np.ndarray, int]:
    unlearned, retrained = confidences(cell)
    if len(unlearned) < FEWEST:
        raise Unavailable(f"epsilon needs {FEWEST} training seeds, not {len(unlearned)}")
    return epsilons(unlearned, retrained), len(unlearned)


GOALS: dict[str, Goal] = {"epsilon": "lower", "epsilon_separable": "lower", "epsilon_quality": "higher"}


@metric(goal=GOALS, scope="cell", needs=("retrained",), reads="losses", source=SOURCE)
def epsilon(cell: Cell) -> dict[str, float]:
    """How well each example tells N unlearned from N retrained models: mean epsilon over D_f, at least 0.

    The largest value that N models can prove is `epsilon_ceiling`, about ln(N - 1); an example that parts
    them wholly (`epsilon_separable` is their share) counts as much. `epsilon_chance` is what N models of one
    kind score: with few models the best of many tests is far from 0. `epsilon_quality` is the challenge's
    forgetting quality F, the mean of 2 / 2^bin, in [0, 1]; examples that part the models count 0 in it.
    """
    values, models = _measured(cell)
    return {
        "epsilon": float(np.minimum(values, ceiling(models)).mean()),
        "epsilon_ceiling": ceiling(models),
        "epsilon_chance": chance(models, cell.rng("epsilon")),
        "epsilon_separable": float(np.isinf(values).mean()),
        "epsilon_quality": forgetting_quality(values, models),
        "epsilon_models": float(models),
    }


@metric(goal="higher", scope="cell", needs=("retrained",), source=SOURCE)
def challenge_score(cell: Cell) -> float:
    """The challenge's final score: F x retain accuracy x test accuracy, each over the retrained models'.

    At least 0; accuracies are means over the models. With few models F, and so the score, is coarse.
    """
    values, models = _measured(cell)
    score = forgetting_quality(values, models)
    for split in ("retain", "test"):
        mine, theirs = (
            np.mean([share_correct(outputs) for outputs in cell.outputs(role, split)])
            for role in ("unlearned", "retrained")
        )
        if theirs == 0:
            raise Unavailable(f"the retrained models' accuracy on {split} is 0: no ratio to it")
        score *= float(mine / theirs)
    return score
