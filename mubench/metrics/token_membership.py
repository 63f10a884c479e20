"""Membership inference on token models: scores of the label tokens, their text, or the loss's gradient.

The simplest of these attacks, by the loss alone, is `mia_auc`: the loss is the mean over label tokens.
Each gives an AUC of telling D_f from examples like it that were not trained on, with a bootstrap 95 %
interval, and the leak in either direction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mubench.metrics.base import Outputs, Reads, Unavailable, View, metric
from mubench.metrics.membership import Score, auc, auc_values, goals, pair
from mubench.metrics.performance import finite, losses
from mubench.metrics.tokens import labelled, token_log_probs

LOWEST = 0.4  # share of an example's tokens that Min-K averages, as MUSE and open-unlearning have it


def zlib_ratio(outputs: Outputs) -> np.ndarray:
    """Minus the loss for each byte that zlib needs for the answer's text, (N,)."""
    if outputs.compressed is None:
        raise Unavailable("the predictions hold no sizes of compressed texts")
    ratio: np.ndarray = -losses(outputs) / outputs.compressed
    return ratio


def gradient_norm(outputs: Outputs) -> np.ndarray:
    """Minus the Euclidean norm of the gradient of an example's loss, (N,)."""
    losses(outputs)
    if outputs.gradient_norms is None:
        raise Unavailable("the predictions hold no gradient norms")
    return -finite(outputs.gradient_norms, "gradient norms")


def min_k(outputs: Outputs) -> np.ndarray:
    """Mean log-probability of an example's least likely tokens, two fifths of them and at least one, (N,)."""
    return lowest(token_log_probs(outputs), labelled(outputs))


def min_k_plus_plus(outputs: Outputs) -> np.ndarray:
    """As `min_k`, of log-probabilities in deviations from what the model itself expects at that place, (N,).

    A place whose distribution has no spread in single precision, and whose token is the sure one, counts 0:
    what the ratio tends to there.
    """
    values, labels = token_log_probs(outputs), labelled(outputs)
    if outputs.expected_log_probs is None or outputs.sd_log_probs is None:
        raise Unavailable("the predictions hold no expected token probabilities")
    expected, deviation = (
        finite(np.where(labels, found, 0), f"rows of {what}")
        for found, what in ((outputs.expected_log_probs, "expected token probabilities"),
                            (outputs.sd_log_probs, "deviations of token probabilities"))
    )  # fmt: skip
    apart = values - expected
    sure = deviation == 0
    if np.any(apart[sure] != 0):
        raise Unavailable("the model is sure of other tokens than the label's, beyond single precision")
    return lowest(np.divide(apart, deviation, out=np.zeros_like(apart), where=~sure), labels)


def lowest(values: np.ndarray, labels: np.ndarray, share: float = LOWEST) -> np.ndarray:
    """Mean (N,) of the lowest `share` of each row's values (N, T) where `labels`, of one at least."""
    counts = np.maximum(1, np.floor(share * labels.sum(axis=1)))
    ordered = np.sort(np.where(labels, values, np.inf), axis=1)
    chosen = np.arange(values.shape[1]) < counts[:, None]
    found: np.ndarray = np.where(chosen, ordered, 0).sum(axis=1) / counts
    return found


def against_reference(outputs: Outputs, references: Sequence[Outputs]) -> np.ndarray:
    """The mean loss of models that saw none of the examples, minus this one's, (N,)."""
    below: np.ndarray = np.mean([losses(other) for other in references], axis=0) - losses(outputs)
    return below


def _declare(name: str, score: Score, reads: Reads, source: str, what: str) -> None:
    """Declare `mia_<name>_auc`, by a score of one model's predictions."""
    value = f"mia_{name}_auc"

    def attack(view: View) -> dict[str, float]:
        members, others = pair(view, score)
        return auc_values(value, members, others, view)

    attack.__name__ = attack.__qualname__ = value
    first = f"AUC of telling D_f from unseen examples by {what}, in [0, 1], with its interval."
    attack.__doc__ = f"{first}\n\n    The score: {score.__doc__}"
    metric(goal=goals(f"mia_{name}"), reads=reads, source=source)(attack)


_declare("zlib", zlib_ratio, "tokens", "Carlini et al., 2012.07805", "the loss per compressed byte")
_declare("min_k", min_k, "tokens", "Shi et al., 2310.16789", "their least likely tokens")
_declare(
    "min_k_plus_plus", min_k_plus_plus, "tokens", "Zhang et al., 2404.02936",
    "their most surprising tokens",
)  # fmt: skip
_declare("gradnorm", gradient_norm, "gradients", "Wang et al., 2402.17012", "a smaller gradient of the loss")


@metric(goal=goals("mia_reference"), needs=("shadows",), reads="tokens", source="Carlini et al., 2012.07805")
def mia_reference_auc(view: View) -> dict[str, float]:
    """AUC of telling D_f from unseen examples by a loss below other models', in [0, 1], with its interval.

    The other models are retrained on D_r at other training seeds; their mean loss is the reference.
    """
    members, others = (
        against_reference(view.outputs(split), view.shadows("retrained", split))
        for split in ("forget", view.outside())
    )
    return auc_values("mia_reference_auc", members, others, view)


@metric(goal="match", scope="relative", needs=("retrained",), reads="tokens", source="Shi et al., 2407.06460")
def privleak(view: View) -> float:
    """How far Min-K's 1 - AUC is from the retrained model's, in percent of that; the goal is 0.

    Below 0 the model still tells D_f from unseen examples; above 0 it tells them apart the other way round.
    """
    mine, theirs = (1 - _min_k_auc(replace(view, role=role)) for role in (view.role, "retrained"))
    if theirs == 0:
        raise Unavailable("1 - AUC of the retrained model is 0: no ratio to it")
    return 100 * (mine - theirs) / theirs


def _min_k_auc(view: View) -> float:
    return auc(*pair(view, min_k))
