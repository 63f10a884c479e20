"""Task performance of one model on one split: accuracy and mean loss."""

from __future__ import annotations

import numpy as np

from mubench.metrics.base import Outputs, Unavailable, metric


def losses(outputs: Outputs) -> np.ndarray:
    """The losses (N,) as float64; Unavailable if there are none or some are not finite."""
    return finite(outputs.losses, "losses")


def logits(outputs: Outputs) -> np.ndarray:
    """The logits (N, C) as float64; Unavailable if there are none, some not finite, or C < 2."""
    if outputs.logits is None:
        raise Unavailable("the predictions hold no class scores")
    values = finite(outputs.logits, "rows of logits")
    if values.ndim != 2 or values.shape[1] < 2:
        raise Unavailable(f"logits of shape {values.shape} have no two classes to choose between")
    return values


def log_probabilities(outputs: Outputs) -> np.ndarray:
    """Log-softmax of the logits, (N, C) float64 in nats; finite even where softmax underflows."""
    shifted = logits(outputs)
    shifted -= shifted.max(axis=1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return shifted


def correct(outputs: Outputs) -> np.ndarray:
    """1 for each example (N,) whose largest logit is the label's, else 0; the first class wins a tie."""
    return np.asarray(logits(outputs).argmax(axis=1) == outputs.targets, dtype=np.float64)


def share_correct(outputs: Outputs) -> float:
    """Share of examples whose largest logit is the label's; the first class wins a tie."""
    return float(correct(outputs).mean())


def mean_loss(outputs: Outputs) -> float:
    """Mean of the losses, in nats."""
    return float(losses(outputs).mean())


def finite(values: np.ndarray, what: str) -> np.ndarray:
    """A float64 copy of `values` (N, ...) whose N rows are all finite; Unavailable otherwise."""
    if not len(values):
        raise Unavailable("the split has no examples")
    copy = np.array(values, dtype=np.float64)
    bad = np.count_nonzero(~np.isfinite(copy).all(axis=tuple(range(1, copy.ndim))))
    if bad:
        raise Unavailable(f"{bad} of {len(copy)} {what} are not finite")
    return copy


@metric(
    goal={
        "test": "higher",
        "validation": "higher",
        "retain": "higher",
        "ood": "higher",
        "forget": "match",
    },
    scope="split",
)
def accuracy(outputs: Outputs) -> float:
    """Share of examples whose most likely class is the label, in [0, 1].

    On D_f the goal is the retrained model's accuracy, not zero.
    """
    return share_correct(outputs)


@metric(
    goal={"test": "lower", "validation": "lower", "retain": "lower", "ood": "lower", "forget": "match"},
    scope="split",
    reads="losses",
)
def loss(outputs: Outputs) -> float:
    """Mean of the task's loss, at least 0: cross-entropy in nats, or a squared error."""
    return mean_loss(outputs)
