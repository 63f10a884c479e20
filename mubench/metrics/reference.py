"""Distance of the unlearned model from the retrained model, the reference.

Where the original and the retrained model do not differ beyond noise (signal.py), only ratios are null:
gaps, their mean and the products of 1 - gap say truly that a model is close, which the original is, too.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mubench.metrics import signal
from mubench.metrics.base import Outputs, Unavailable, View, metric
from mubench.metrics.membership import svc_efficacy
from mubench.metrics.overall import js_divergence
from mubench.metrics.performance import log_probabilities, logits, share_correct

RETRAINED = ("retrained",)


def accuracies(view: View, split: str) -> tuple[float, float]:
    """Accuracy on `split` of this view's model and of the retrained model."""
    return (
        share_correct(view.outputs(split)),
        share_correct(view.outputs(split, "retrained")),
    )


def efficacies(view: View) -> tuple[float, float]:
    """`mia_efficacy` of this view's model and of the retrained model."""
    return svc_efficacy(view), svc_efficacy(replace(view, role="retrained"))


def probabilities(view: View, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Softmax (N, C) of this view's model and of the retrained model, on the same examples."""
    mine, reference = _same_examples(view, split)
    return np.exp(log_probabilities(mine)), np.exp(log_probabilities(reference))


def _same_examples(view: View, split: str) -> tuple[Outputs, Outputs]:
    mine, reference = view.outputs(split), view.outputs(split, "retrained")
    if logits(mine).shape != logits(reference).shape or np.any(mine.targets != reference.targets):
        raise Unavailable(f"the two models were not predicted on the same {split} examples")
    return mine, reference


def _declare_distance(split: str) -> None:
    """Declare `js_distance_<split>` and `l2_distance_<split>`."""

    def js(view: View) -> float:
        divergence = js_divergence(*probabilities(view, split)) / np.log(2)
        return float(np.sqrt(divergence).mean())

    def l2(view: View) -> float:
        p, q = probabilities(view, split)
        return float(np.linalg.norm(p - q, axis=1).mean())

    for function, name, top in ((js, "Jensen-Shannon", "1"), (l2, "L2", "sqrt 2")):
        short = function.__name__
        function.__name__ = function.__qualname__ = f"{short}_distance_{split}"
        function.__doc__ = (
            f"Mean {name} distance from the retrained model's softmax on {split}, in [0, {top}]."
        )
        metric(goal="lower", scope="relative", needs=RETRAINED)(function)


for _split in ("forget", "test"):
    _declare_distance(_split)


@metric(goal="lower", scope="relative", needs=RETRAINED, source="Jia et al., 2304.04934")
def avg_gap(view: View) -> float:
    """Mean gap to the retrained model over UA, RA, TA and MIA efficacy, in [0, 1].

    UA = 1 - forget accuracy, RA and TA = retain and test accuracy; all as shares, not percent.
    """
    pairs = [accuracies(view, split) for split in ("forget", "retain", "test")]
    return float(np.mean([abs(mine - theirs) for mine, theirs in [*pairs, efficacies(view)]]))


@metric(goal="lower", scope="relative", needs=("original", "retrained"), source="Cadet et al., 2410.01276")
def ret_dev(view: View) -> float:
    """Sum of |a_u / a_r - 1| over retain, forget and test, at least 0.

    Null where the retrained model's accuracy is 0 on one of them, as it is for a whole class, and, being
    a ratio, where its accuracy on D_f differs from the original's by less than noise (`signal`).
    """
    signal.accuracy(view).demand("accuracy on D_f")
    total = 0.0
    for split in ("retain", "forget", "test"):
        mine, theirs = accuracies(view, split)
        if theirs == 0:
            raise Unavailable(f"the retrained model's accuracy on {split} is 0: no ratio to it")
        total += abs(mine / theirs - 1)
    return total


@metric(goal="higher", scope="relative", needs=RETRAINED, source="Zhao et al., 2406.01257")
def tow(view: View) -> float:
    """Tug of war: product of 1 - |a_u - a_r| over forget, retain and test, in [0, 1]."""
    pairs = [accuracies(view, split) for split in ("forget", "retain", "test")]
    return float(np.prod([1 - abs(mine - theirs) for mine, theirs in pairs]))


@metric(goal="higher", scope="relative", needs=RETRAINED, source="Zhao et al., 2406.01257")
def tow_mia(view: View) -> float:
    """Tug of war whose forget term is the gap in MIA efficacy, in [0, 1]."""
    pairs = [efficacies(view), *(accuracies(view, split) for split in ("retain", "test"))]
    return float(np.prod([1 - abs(mine - theirs) for mine, theirs in pairs]))


@metric(goal="higher", scope="relative", needs=RETRAINED, source="Cao & Yang, 2015")
def completeness(view: View) -> float:
    """Share of D_f on which the model chooses the retrained model's class, in [0, 1]."""
    mine, reference = _same_examples(view, "forget")
    return float(np.mean(logits(mine).argmax(axis=1) == logits(reference).argmax(axis=1)))
