"""Small predictions to score: by probability, by which examples are right, by loss."""

from __future__ import annotations

import numpy as np

from mubench.metrics.base import Outputs


def from_probabilities(p, targets) -> Outputs:
    """Outputs whose softmax is `p` (N, C), none of it zero."""
    p, targets = np.asarray(p, float), np.asarray(targets)
    return Outputs(-np.log(p[np.arange(len(p)), targets]), targets, np.log(p))


def from_correct(correct, classes=2) -> Outputs:
    """Outputs right where `correct` (N,) is 1: all labels 0, probability .9 for 0 or for 1."""
    p = np.full((len(correct), classes), 0.1 / (classes - 1))
    p[np.arange(len(correct)), 1 - np.asarray(correct)] = 0.9
    return from_probabilities(p, np.zeros(len(correct), int))


def from_losses(losses) -> Outputs:
    """Two-class outputs with these losses (above 0) of label 0."""
    p = np.exp(-np.asarray(losses, float))
    logits = np.stack([np.log(p), np.log1p(-p)], axis=1)
    return Outputs(np.asarray(losses), np.zeros(len(p), int), logits)


def random_outputs(n, seed, shift=1.0, classes=5) -> Outputs:
    """Gaussian logits, the label's raised by `shift`; float32 as a run stores them. Class 0 is negative."""
    rng = np.random.default_rng(seed)
    return _raised(rng.integers(classes, size=n), rng, shift, classes)


def _raised(targets, rng, shift, classes) -> Outputs:
    n = len(targets)
    logits = rng.normal(size=(n, classes))
    logits[np.arange(n), targets] += shift
    losses = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(n), targets]
    return Outputs(losses.astype(np.float32), targets, logits.astype(np.float32), negative=np.array([0]))


def from_confidences(phi) -> Outputs:
    """Two-class outputs of label 0 with log p / (1 - p) = `phi` (N,)."""
    phi = np.asarray(phi, float)
    logits = np.stack([phi, np.zeros_like(phi)], axis=1)
    return Outputs(np.logaddexp(0, -phi), np.zeros(len(phi), int), logits)


def from_tokens(p, labels) -> Outputs:
    """Token outputs of probabilities `p` (N, T); the first `labels` (N,) places of a row are label tokens."""
    inside = np.arange(np.shape(p)[1]) < np.asarray(labels)[:, None]
    log_p = np.log(np.where(inside, p, 1.0)).astype(np.float32)
    return Outputs(-log_p.sum(axis=1) / labels, np.where(inside, 1, -100), log_probs=log_p)


def another_model(like: Outputs, seed, shift=1.0) -> Outputs:
    """What another model says of the same examples: Gaussian logits, the label's raised by `shift`."""
    return _raised(like.targets, np.random.default_rng(seed), shift, like.logits.shape[1])
