"""Membership inference: does the model still tell D_f (members) from test data (non-members)?

Where the test set is of another kind than the training set, rows held out of that (validation) stand in.
Two-sided: an AUC far below .5 is a leak too (D_f stands out by losses that are too high), so the
goal is to match the retrained model, and `mia_leak` counts both directions.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from mubench.metrics.base import Goal, Outputs, Unavailable, View, metric
from mubench.metrics.performance import log_probabilities, losses

Score = Callable[[Outputs], np.ndarray]  # (N,), larger for likelier members
RESAMPLES = 1000  # bootstrap
FEWEST = 10  # examples a side of a cross-validated attack: one in each tenth
MOST = 2000  # examples a side that the SVC is trained on; its cost is quadratic


def confidence(outputs: Outputs) -> np.ndarray:
    """Largest probability, as a logarithm, so that near-certain predictions still differ: (N,)."""
    return np.asarray(log_probabilities(outputs).max(axis=1))


def entropy(outputs: Outputs) -> np.ndarray:
    """Entropy of the predicted distribution, (N,) nats in [0, ln C]."""
    log_p = log_probabilities(outputs)
    return np.asarray(-(np.exp(log_p) * log_p).sum(axis=1))


def modified_entropy(outputs: Outputs) -> np.ndarray:
    """-(1 - p_y) log p_y - sum over i != y of p_i log(1 - p_i), (N,), at least 0.

    Song & Mittal 2021 (2003.10595). 1 - p of the likeliest class is the sum of the others,
    in log space: the logarithm stays finite where p rounds to 1.
    """
    log_p, rows = log_probabilities(outputs), np.arange(len(outputs))
    top, others = log_p.argmax(axis=1), log_p.copy()
    others[rows, top] = -np.inf
    log_not = np.log1p(-np.exp(others))
    log_not[rows, top] = np.logaddexp.reduce(others, axis=1)
    terms = np.exp(log_p) * log_not
    label = rows, outputs.targets
    terms[label] = np.exp(log_not[label]) * log_p[label]
    return np.asarray(-terms.sum(axis=1))


def bootstrap_auc(
    members: np.ndarray, others: np.ndarray, rng: np.random.Generator, resamples: int = RESAMPLES
) -> np.ndarray:
    """AUCs (resamples,) of members (n,) and others (m,) drawn again with replacement, each apart.

    Scores are ranked once; a resample is a count of each distinct score, and its AUC the share
    of pairs that the counts say are in order, ties half: O(n + m) each, nothing sorted again.
    """
    values, place = np.unique(np.concatenate([members, others]), return_inverse=True)
    n, m = len(members), len(others)
    aucs = np.empty(resamples)
    for i in range(resamples):
        inside = np.bincount(place[:n][rng.integers(n, size=n)], minlength=len(values))
        outside = np.bincount(place[n:][rng.integers(m, size=m)], minlength=len(values))
        aucs[i] = inside @ (np.cumsum(outside) - outside / 2) / (n * m)
    return aucs


def _low_loss(outputs: Outputs) -> np.ndarray:
    return -losses(outputs)


def pair(view: View, score: Score) -> tuple[np.ndarray, np.ndarray]:
    """Scores of D_f (n,), and of unseen examples like it (m,)."""
    outside = view.outside()
    return score(view.outputs("forget")), score(view.outputs(outside))


def auc(members: np.ndarray, others: np.ndarray) -> float:
    """Share of pairs in which the member (n,) scores above the other (m,), ties half."""
    return float(aucs(members[None], others[None])[0])


def aucs(members: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The AUC of each row's members (K, n) against its others (K, m), (K,): Mann and Whitney's U / nm."""
    from scipy.stats import rankdata

    n, m = members.shape[1], others.shape[1]
    ranks = rankdata(np.concatenate([members, others], axis=1), axis=1)[:, :n]
    return np.asarray((ranks.sum(axis=1) - n * (n + 1) / 2) / (n * m))


def auc_values(name: str, members: np.ndarray, others: np.ndarray, view: View) -> dict[str, float]:
    """The AUC `name`, its 95 % interval `_low` to `_high`, and the leak |2 AUC - 1| in either direction."""
    value = auc(members, others)
    low, high = np.quantile(bootstrap_auc(members, others, view.rng(name)), [0.025, 0.975])
    leak = {name.replace("_auc", "_leak"): abs(2 * value - 1)}
    return {name: value, f"{name}_low": float(low), f"{name}_high": float(high), **leak}


def true_positives(members: np.ndarray, others: np.ndarray, rate: float) -> float:
    """Share of members (n,) scored above all but `rate` of the others (m,); no interpolation.

    Unavailable where that is less than one of the others.
    """
    from sklearn.metrics import roc_curve

    if rate * len(others) < 1:
        raise Unavailable(f"{rate:.1%} of {len(others)} non-members is less than one example")
    labels = np.repeat([1, 0], [len(members), len(others)])
    scores = np.concatenate([members, others])
    fpr, tpr, _ = roc_curve(labels, scores, drop_intermediate=False)
    return float(tpr[fpr <= rate].max())


def goals(name: str) -> dict[str, Goal]:
    """The goals of an attack's AUC and leak: as the retrained model's."""
    return {f"{name}_auc": "match", f"{name}_leak": "match"}


@metric(goal=goals("mia"), reads="losses", source="Yeom et al., 1709.01604")
def mia_auc(view: View) -> dict[str, float]:
    """AUC of telling D_f from test by a lower loss, in [0, 1], with a 95 % bootstrap interval.

    `mia_leak` = |2 AUC - 1| is the leak in either direction. The interval is of percentiles of
    1,000 resamples of both sets; it has no width where the two are perfectly separated.
    """
    return auc_values("mia_auc", *pair(view, _low_loss), view)


@metric(goal=goals("mia_confidence"), source="Salem et al., 1806.01246")
def mia_confidence_auc(view: View) -> dict[str, float]:
    """AUC of telling D_f from test by a larger top probability, in [0, 1]; reads no label.

    The label's own probability would rank as the loss does, which `mia_auc` already says.
    """
    return auc_values("mia_confidence_auc", *pair(view, confidence), view)


@metric(goal=goals("mia_entropy"), source="Song & Mittal, 2003.10595")
def mia_entropy_auc(view: View) -> dict[str, float]:
    """AUC of telling D_f from test by a lower prediction entropy, in [0, 1]; reads no label."""
    return auc_values("mia_entropy_auc", *pair(view, lambda outputs: -entropy(outputs)), view)


@metric(goal=goals("mia_modified_entropy"), source="Song & Mittal, 2003.10595")
def mia_modified_entropy_auc(view: View) -> dict[str, float]:
    """AUC of telling D_f from test by a lower modified entropy, in [0, 1]."""
    return auc_values(
        "mia_modified_entropy_auc", *pair(view, lambda outputs: -modified_entropy(outputs)), view
    )


@metric(goal={"mia_tpr@1%": "match"}, reads="losses", source="Carlini et al., 2112.03570")
def mia_tpr_1(view: View) -> dict[str, float]:
    """Share of D_f found by a lower loss where 1 % of test is taken for members, in [0, 1]."""
    return {"mia_tpr@1%": true_positives(*pair(view, _low_loss), 0.01)}


@metric(goal={"mia_tpr@0.1%": "match"}, reads="losses", source="Carlini et al., 2112.03570")
def mia_tpr_01(view: View) -> dict[str, float]:
    """Share of D_f found by a lower loss where .1 % of test is taken for members, in [0, 1]."""
    return {"mia_tpr@0.1%": true_positives(*pair(view, _low_loss), 0.001)}


def svc_efficacy(view: View) -> float:
    """`mia_efficacy` of this view's model; Unavailable where the attack has nothing to learn."""
    splits = ("forget", "retain", view.outside())
    forget, retain, test = (np.exp(-losses(view.outputs(split))) for split in splits)
    rng, size = view.rng("mia_efficacy"), min(len(retain), len(test), MOST)
    known = np.concatenate([rng.choice(part, size, replace=False) for part in (retain, test)])
    if np.ptp(known) == 0:
        raise Unavailable("the model is equally confident on every retain and test example")
    return _called_outside(*(part.astype(np.float64).tobytes() for part in (known, forget)))


@lru_cache(maxsize=64)  # several metrics ask for the same model's
def _called_outside(known: bytes, forget: bytes) -> float:
    """Share of D_f that an SVC calls outside, which knows as many of inside as, after them, of outside."""
    from sklearn.svm import SVC

    examples, asked = (np.frombuffer(part)[:, None] for part in (known, forget))
    attack = SVC(C=3, gamma="auto", kernel="rbf")
    attack.fit(examples, np.repeat([1, 0], len(examples) // 2))
    return float(np.mean(attack.predict(asked) == 0))


@metric(goal="match", reads="losses", source="Jia et al., 2304.04934 (OPTML-Group/Unlearn-Sparse)")
def mia_efficacy(view: View) -> float:
    """Share of D_f that an attack trained on D_r and test calls non-member, in [0, 1].

    RBF SVC (C = 3, gamma = 1) on the label's probability, trained on equal numbers of D_r and
    test examples, at most 2,000 each, drawn from seed.eval.
    """
    return svc_efficacy(view)


@metric(
    goal={"mia_lr": "match", "indiscernibility": "match"}, reads="losses", source="NeurIPS 2023 challenge"
)
def mia_lr(view: View) -> dict[str, float]:
    """Accuracy of a logistic regression on the loss at telling D_f from test, in [0, 1].

    Mean over 10 stratified splits (a tenth held out) of equal numbers of both, drawn from
    seed.eval, so that .5 is a guess; losses are standardised, or the penalty on weights would hide
    tiny and huge ones. `indiscernibility` = 1 - |2 accuracy - 1|, in [0, 1], 1 for a mere guess.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedShuffleSplit, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    members, others = pair(view, losses)
    rng, size = view.rng("mia_lr"), min(len(members), len(others))
    if size < FEWEST:
        raise Unavailable(f"the attack needs {FEWEST} examples of forget and of test, not {size}")
    both = np.concatenate([rng.choice(part, size, replace=False) for part in (members, others)])
    folds = StratifiedShuffleSplit(10, test_size=0.1, random_state=int(rng.integers(2**31)))
    attack = make_pipeline(StandardScaler(), LogisticRegression())
    accuracies = cross_val_score(attack, both[:, None], np.repeat([1, 0], size), cv=folds)
    accuracy = float(np.mean(accuracies))
    return {"mia_lr": accuracy, "indiscernibility": 1 - abs(2 * accuracy - 1)}
