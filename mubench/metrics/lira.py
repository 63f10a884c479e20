"""LiRA: is an example's confidence that of models that saw it, or of models that did not?

The forget set is fixed, so all originals saw each of its examples and no retrained model did: shadow
models of both kinds give the two distributions. Carlini et al., 2112.03570.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import numpy as np

from mubench.metrics.base import Goal, Unavailable, View, metric
from mubench.metrics.likelihood import log_likelihood, phi, stacked, variance, without
from mubench.metrics.membership import auc_values, aucs, goals, true_positives

FEWEST = 4  # shadow models of each kind: two are left once two of them are told apart
SOURCE = "Carlini et al., 2112.03570"
MOST = 16  # shadow models that take the model's place in turn: pairs grow with the square

# Scores (N,), larger for likelier members: of confidences (N,), by those of models that did not see them.
Attack = Callable[[np.ndarray, np.ndarray], np.ndarray]


def shadows(view: View, role: str, split: str) -> np.ndarray:
    """phi of the shadow models, (models, N); Unavailable if there are fewer than four."""
    found = view.shadows(role, split)
    if len(found) < FEWEST:
        raise Unavailable(f"the attack needs {FEWEST} shadow models of a kind, not {len(found)}: shadows=8")
    return stacked(found, view.outputs(split))


def ratio(inside: np.ndarray) -> Attack:
    """The log likelihood ratio, by models (models, N) that saw the examples; both may be any number."""
    mean, spread = inside.mean(axis=0), variance(inside)

    def score(confidences: np.ndarray, outside: np.ndarray) -> np.ndarray:
        member = log_likelihood(confidences, mean, spread)
        return np.asarray(member - log_likelihood(confidences, outside.mean(axis=0), variance(outside)))

    return score


def deviation(confidences: np.ndarray, outside: np.ndarray) -> np.ndarray:
    """How many standard deviations (N,) from the retrained models' mean, up or down."""
    return np.asarray(np.abs(confidences - outside.mean(axis=0)) / np.sqrt(variance(outside)))


def scored(model: np.ndarray, outside: np.ndarray, attack: Attack) -> tuple[np.ndarray, np.ndarray]:
    """Scores (models, N) of the model and of each shadow model, both by the other shadow models.

    The two are then alike in all but what is asked for, if the model saw none of the examples.
    """
    rest = [without(outside, k) for k in range(len(outside))]
    members = [attack(model, others) for others in rest]
    return np.stack(members), np.stack([attack(outside[k], others) for k, others in enumerate(rest)])


def noise(outside: np.ndarray, attack: Attack) -> np.ndarray:
    """The AUC of each shadow model against the others, (models,): what training seeds alone do.

    Each pair by the shadow models but these two. At most the first 16.
    """
    count = min(len(outside), MOST)
    pairs = np.array(list(combinations(range(count), 2)))
    scores = [[attack(outside[k], without(outside, *pair)) for k in pair] for pair in pairs]
    above = aucs(*np.array(scores).swapaxes(0, 1))
    found = np.zeros((count, count))
    found[pairs[:, 0], pairs[:, 1]], found[pairs[:, 1], pairs[:, 0]] = above, 1 - above
    return np.asarray(found.sum(axis=1) / (count - 1))


def margin(nulls: np.ndarray, models: int) -> float:
    """Half the width of the 95 % interval of an AUC, from those of `noise` (K,).

    Let each model have a level L of its own, Gaussian over seeds: shadow model j scores
    .5 + c (L_j - mean of the others) = .5 + c (L_j - mean) K / (K - 1), a model .5 + c (L - mean). Its
    deviation over its estimated standard deviation is then Student's t with K - 1 degrees of freedom.
    """
    from scipy.stats import t

    count = len(nulls)
    spread = np.sum((nulls - 0.5) ** 2) * (count - 1) / count**2
    return float(t.ppf(0.975, count - 1) * np.sqrt(spread * (1 + 1 / models)))


def _values(name: str, view: View, attack: Attack) -> dict[str, float]:
    """The AUC of an attack, and its interval."""
    model, outside = phi(view.outputs("forget")), shadows(view, "retrained", "forget")
    value = float(aucs(*scored(model, outside, attack)).mean())
    half = margin(noise(outside, attack), len(outside))
    return {name: value, f"{name}_low": max(0.0, value - half), f"{name}_high": min(1.0, value + half)}


LIRA: dict[str, Goal] = dict.fromkeys(("lira_auc", "lira_leak", "lira_two_sided_auc"), "match")


@metric(goal=LIRA, needs=("shadows",), reads="losses", source=SOURCE)
def lira(view: View) -> dict[str, float]:
    """AUC of D_f under the model against D_f under retrained models, by likelihood ratios, in [0, 1].

    The score is log N(phi; originals) - log N(phi; retrained), each example by its own two Gaussians, whose
    variance all examples share below 64 shadow models. `lira_leak` = |2 AUC - 1|, in either direction.
    `lira_two_sided_auc` scores each example by its distance from the retrained mean: an example that
    stands out by being known too little is found as well, where in the ratio's AUC it makes up for another.
    Intervals (95 %) are of the noise that training seeds make: the shadow models attacked in turn.
    """
    member = _values("lira_auc", view, ratio(shadows(view, "original", "forget")))
    either = _values("lira_two_sided_auc", view, deviation)
    return {**member, "lira_leak": abs(2 * member["lira_auc"] - 1), **either}


def _tpr(view: View, rate: float) -> float:
    attack = ratio(shadows(view, "original", "forget"))
    model, outside = phi(view.outputs("forget")), shadows(view, "retrained", "forget")
    members, others = scored(model, outside, attack)
    return true_positives(members.ravel(), others.ravel(), rate)


@metric(goal={"lira_tpr@1%": "match"}, needs=("shadows",), reads="losses", source=SOURCE)
def lira_tpr_1(view: View) -> dict[str, float]:
    """Share of D_f that LiRA finds where it takes 1 % of D_f under retrained models for known, in [0, 1]."""
    return {"lira_tpr@1%": _tpr(view, 0.01)}


@metric(goal={"lira_tpr@0.1%": "match"}, needs=("shadows",), reads="losses", source=SOURCE)
def lira_tpr_01(view: View) -> dict[str, float]:
    """Share of D_f that LiRA finds where it takes .1 % of D_f under retrained models for known, in [0, 1]."""
    return {"lira_tpr@0.1%": _tpr(view, 0.001)}


@metric(
    goal=goals("lira_offline"), needs=("shadows",), reads="losses",
    source=SOURCE,
)  # fmt: skip
def lira_offline(view: View) -> dict[str, float]:
    """AUC of telling D_f from unseen examples by retrained models alone, in [0, 1], with its interval.

    The score is (phi - mean) / standard deviation over the retrained models: how far the model knows an
    example better than models that did not see it. The interval is a bootstrap over both sets.
    """
    splits = ("forget", view.outside())
    models = [shadows(view, "retrained", split) for split in splits]
    spread = variance(np.concatenate(models, axis=1))
    members, others = (
        (phi(view.outputs(split)) - outside.mean(axis=0)) / np.sqrt(part)
        for split, outside, part in zip(
            splits, models, np.split(spread, [models[0].shape[1]]), strict=True)
    )  # fmt: skip
    return auc_values("lira_offline_auc", members, others, view)
