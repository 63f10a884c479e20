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
    targets = rng.integers(classes, size=n)
    logits = rng.normal(size=(n, classes))
    logits[np.arange(n), targets] += shift
    losses = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(n), targets]
    return Outputs(losses.astype(np.float32), targets, logits.astype(np.float32), negative=np.array([0]))
