"""U-LiRA: do an unlearned model's confidences on D_f tell it from a retrained one? Over training seeds."""

from __future__ import annotations

import numpy as np

from mubench.metrics.base import Cell, Goal, Unavailable, metric
from mubench.metrics.likelihood import log_likelihood, stacked, variance, without
from mubench.metrics.membership import aucs

FEWEST = 3  # training seeds: two are left once one is attacked


def confidences(cell: Cell) -> tuple[np.ndarray, np.ndarray]:
    """phi on D_f of the unlearned and of the retrained models, both (seeds, N)."""
    unlearned, retrained = (cell.outputs(role, "forget") for role in ("unlearned", "retrained"))
    return stacked(unlearned, unlearned[0]), stacked(retrained, unlearned[0])


def ratios(scores: np.ndarray, unlearned: np.ndarray, retrained: np.ndarray) -> np.ndarray:
    """Log likelihood ratio (N,): above 0 where unlearned models (seeds, N) explain the scores (N,) better."""
    above, below = (
        log_likelihood(scores, part.mean(axis=0), variance(part)) for part in (unlearned, retrained)
    )
    return np.asarray(above - below)


def attacked(unlearned: np.ndarray, retrained: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ratios (seeds, N) of the unlearned and of the retrained models, each by the other seeds' models."""
    rest = [(without(unlearned, seed), without(retrained, seed)) for seed in range(len(unlearned))]
    mine, theirs = (
        np.stack([ratios(part[seed], *others) for seed, others in enumerate(rest)])
        for part in (unlearned, retrained)
    )
    return mine, theirs


def interval(values: np.ndarray) -> tuple[float, float]:
    """Student's 95 % interval of the mean over training seeds (S,), within [0, 1]."""
    from scipy.stats import t

    half = t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return float(max(0, values.mean() - half)), float(min(1, values.mean() + half))


ULIRA: dict[str, Goal] = {"ulira_auc": "match", "ulira_accuracy": "match", "ulira_leak": "lower"}


@metric(goal=ULIRA, scope="cell", needs=("retrained",), reads="losses", source="Hayes et al., 2403.01218")
def ulira(cell: Cell) -> dict[str, float]:
    """AUC of telling unlearned from retrained models by each example of D_f, in [0, 1]; .5 is a guess.

    The score is log N(phi; unlearned) - log N(phi; retrained), each example by its own two Gaussians, whose
    variance all examples share below 64 seeds. The two models of one training seed are attacked by the
    other seeds'. `ulira_accuracy` is the share of scores with the right sign, `ulira_leak` = |2 AUC - 1|;
    the mean over seeds, with Student's 95 % interval, `ulira_models` of them.
    """
    unlearned, retrained = confidences(cell)
    if len(unlearned) < FEWEST:
        raise Unavailable(f"the attack needs {FEWEST} training seeds, not {len(unlearned)}")
    mine, theirs = attacked(unlearned, retrained)
    values = aucs(mine, theirs)
    low, high = interval(values)
    return {
        "ulira_auc": float(values.mean()), "ulira_auc_low": low, "ulira_auc_high": high,
        "ulira_accuracy": float(np.mean(mine > 0) + np.mean(theirs < 0)) / 2,
        "ulira_leak": abs(2 * float(values.mean()) - 1), "ulira_models": float(len(unlearned)),
    }  # fmt: skip
