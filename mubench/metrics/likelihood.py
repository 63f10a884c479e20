"""Likelihoods of one example's confidence under two kinds of models: what attacks with shadow models share.

The confidence is phi = log p / (1 - p) of the label's probability p, which is nearly Gaussian over
training seeds (Carlini et al., 2112.03570); never whether the example is right.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mubench.metrics.base import Outputs, Unavailable
from mubench.metrics.klom import margins
from mubench.metrics.tokens import mean_log_probs

MANY = 64  # models from which on each example has a variance of its own, as in the paper
LEAST_VARIANCE = 1e-6  # of phi, in squared nats: where all models agree a ratio would have no bound
SURE = 2.0**-24  # the smallest 1 - p that single precision tells from 0


def phi(outputs: Outputs) -> np.ndarray:
    """log p / (1 - p) of the label, (N,) float64 in nats, finite.

    Of classes: the label's logit minus the logsumexp of the others'. Of tokens p is the geometric mean of
    the label tokens' probabilities. Unavailable where predictions are no probabilities of labels.
    """
    if outputs.logits is not None:
        return margins(outputs)
    if outputs.log_probs is None:
        raise Unavailable("the predictions hold no probabilities of labels")
    mean = mean_log_probs(outputs)
    found: np.ndarray = mean - np.log(np.maximum(-np.expm1(mean), SURE))
    return found


def stacked(models: Sequence[Outputs], like: Outputs) -> np.ndarray:
    """phi of several models, (models, N); Unavailable unless they saw the same examples as `like`."""
    for outputs in models:
        if outputs.targets.shape != like.targets.shape or np.any(outputs.targets != like.targets):
            raise Unavailable("the models were not predicted on the same examples")
    return np.stack([phi(outputs) for outputs in models])


def log_probability(confidences: np.ndarray) -> np.ndarray:
    """log p of phi (...), in nats, at most 0."""
    return np.asarray(-np.logaddexp(0, -confidences))


def variance(scores: np.ndarray) -> np.ndarray:
    """Variance (N,) over models of scores (models, N), floored; at least two models.

    Of fewer than 64 models the mean of all examples' variances stands for each: so few say little of one
    example's. Within examples, so that what examples differ by does not count.
    """
    each = scores.var(axis=0, ddof=1)
    found = each if len(scores) >= MANY else np.full_like(each, each.mean())
    return np.asarray(np.maximum(found, LEAST_VARIANCE))


def log_likelihood(scores: np.ndarray, mean: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Gaussian log density, of scores (N,) by means and variances (N,)."""
    return np.asarray(-0.5 * ((scores - mean) ** 2 / spread + np.log(2 * np.pi * spread)))


def without(scores: np.ndarray, *left_out: int) -> np.ndarray:
    """The scores (models, N) of the other models."""
    return np.delete(scores, left_out, axis=0)
