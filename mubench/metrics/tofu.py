"""TOFU's own metrics (Maini et al., 2401.06121): truth ratio, forget quality, model utility."""

from __future__ import annotations

import numpy as np

from mubench.metrics.base import Outputs, Unavailable, View, metric
from mubench.metrics.performance import losses
from mubench.metrics.text import rouge
from mubench.metrics.tokens import BETTER, mean_log_probs

SOURCE = "Maini et al., 2401.06121"
UTILITY = ("retain", "real_authors", "world_facts")
LARGEST = 700.0  # exp of more overflows


def alternatives(outputs: Outputs) -> np.ndarray:
    """Mean log-probabilities (M, 1 + K) of the M rows that have a paraphrase and a false answer.

    Where a row has fewer than K false answers the rest is NaN, as is all of a row that has none.
    """
    losses(outputs)  # a diverged model's NaN is no missing alternative
    if outputs.alternatives is None:
        raise Unavailable("the predictions hold no alternative answers")
    values = outputs.alternatives.astype(np.float64)
    known = np.isfinite(values)
    found: np.ndarray = values[known[:, 0] & known[:, 1:].any(axis=1)]
    if not len(found):
        raise Unavailable("no example of the split has alternative answers")
    return found


def truth_ratios(outputs: Outputs) -> np.ndarray:
    """Mean P(false)^(1/tokens) over P(paraphrase)^(1/tokens), of each row that has alternatives, (M,).

    As the paper writes it, a mean of probabilities; its code takes the mean of their logarithms.
    """
    values = alternatives(outputs)
    ratios: np.ndarray = np.nanmean(np.exp(np.minimum(values[:, 1:] - values[:, :1], LARGEST)), axis=1)
    return ratios


@metric(goal=BETTER, scope="split", reads="alternatives", source=SOURCE)
def truth_ratio(outputs: Outputs) -> float:
    """Mean of max(0, 1 - R), R the truth ratio: 1 prefers the truth, 0 does not, in [0, 1].

    R is how much likelier false answers are than a paraphrase of the true one.
    """
    return _truth(outputs)


def _truth(outputs: Outputs) -> float:
    return float(np.maximum(0, 1 - truth_ratios(outputs)).mean())


@metric(goal="higher", scope="relative", needs=("retrained",), reads="alternatives", source=SOURCE)
def forget_quality(view: View) -> float:
    """p-value of a KS test that D_f's truth ratios are distributed as the retrained model's, in [0, 1]."""
    from scipy.stats import ks_2samp

    mine, theirs = (truth_ratios(view.outputs("forget", role)) for role in (None, "retrained"))
    return float(ks_2samp(mine, theirs).pvalue)


@metric(goal="higher", reads="alternatives", source=SOURCE)
def model_utility(view: View) -> float:
    """Harmonic mean of probability, ROUGE-L recall and truth ratio on what is to be kept, in [0, 1].

    Nine numbers: on D_r, real authors and world facts. On the last two the probability is that of the
    true answer among it and the false ones, per token.
    """
    found: list[float] = []
    for split in UTILITY:
        outputs = view.outputs(split)
        probability = _probability(outputs) if split == "retain" else _chosen(outputs)
        found += [probability, rouge(outputs, "rougeL", "recall"), _truth(outputs)]
    return len(found) / sum(1 / value for value in found) if min(found) > 0 else 0.0


def _probability(outputs: Outputs) -> float:
    return float(np.exp(mean_log_probs(outputs)).mean())


def _chosen(outputs: Outputs) -> float:
    """The mean share of the true answer's probability among it and the false ones'."""
    true = np.exp(mean_log_probs(outputs))
    if outputs.alternatives is None or not np.isfinite(outputs.alternatives[:, 1]).all():
        raise Unavailable("some examples have no false answers")
    false = np.nansum(np.exp(outputs.alternatives[:, 1:].astype(np.float64)), axis=1)
    return float((true / (true + false)).mean())
