"""RMIA: does the model favour an example over a population of unseen ones, beside other models?"""

from __future__ import annotations

import numpy as np

from mubench.metrics.base import Unavailable, View, metric
from mubench.metrics.likelihood import log_probability, phi, stacked
from mubench.metrics.membership import auc_values, goals

GAMMA = 1.0  # how many times the ratio of a population example must be exceeded, as in the authors' code
OFFLINE = 0.3  # a: how much of p_in is a copy of p_out, 1: all; the authors' for CIFAR-10
FEWEST = 2  # examples of the population, and of non-members


def offline_log_p(log_p_out: np.ndarray, a: float = OFFLINE) -> np.ndarray:
    """log p(x), (N,) in nats, from log p of models (models, N) that did not see x.

    p(x) = (p_in + p_out) / 2, where p_in is taken for a p_out + 1 - a.
    """
    return np.asarray(np.log(((1 + a) * np.exp(log_p_out).mean(axis=0) + 1 - a) / 2))


def scores(log_x: np.ndarray, log_z: np.ndarray, gamma: float = GAMMA) -> np.ndarray:
    """Share of the population whose ratio (Z,) is exceeded more than gamma times by that of x, (N,)."""
    return np.asarray(np.searchsorted(np.sort(log_z) + np.log(gamma), log_x, side="left") / len(log_z))


def log_ratio(view: View, split: str) -> np.ndarray:
    """log p(x | model) / p(x) of a split, (N,) in nats."""
    mine = view.outputs(split)
    others = log_probability(stacked(view.shadows("retrained", split), mine))
    return np.asarray(log_probability(phi(mine)) - offline_log_p(others))


def _unseen(view: View) -> tuple[np.ndarray, np.ndarray]:
    """Ratios of the population, and of non-members: validation and test, or halves of what there is."""
    outside = view.outside()
    if outside != "validation" and len(view.models[view.role].get("validation", ())):
        return log_ratio(view, "validation"), log_ratio(view, outside)
    whole = log_ratio(view, outside)
    order = view.rng("rmia").permutation(len(whole))
    return whole[order[: len(whole) // 2]], whole[order[len(whole) // 2 :]]


@metric(
    goal=goals("rmia"), needs=("shadows",), reads="losses",
    source="Zarifzadeh et al., 2312.03262",
)  # fmt: skip
def rmia(view: View) -> dict[str, float]:
    """AUC of telling D_f from unseen examples by RMIA's score, in [0, 1], with a bootstrap interval.

    The score is the share of a population z with [p(x|w) / p(x)] / [p(z|w) / p(z)] above gamma = 1, where
    p(x) = ((1 + a) p_out(x) + 1 - a) / 2, a = .3, and p_out is the mean over retrained shadow models. The
    population is the validation set; without one a half of the test set, drawn from seed.eval, and the
    other half are the non-members.
    """
    members = log_ratio(view, "forget")
    population, others = _unseen(view)
    if min(len(population), len(others)) < FEWEST:
        raise Unavailable(f"{len(population) + len(others)} unseen examples are too few for a population")
    return auc_values("rmia_auc", scores(members, population), scores(others, population), view)
