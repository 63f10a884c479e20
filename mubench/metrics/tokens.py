"""How well one model knows the label tokens of a split: teacher-forced, prompt and padding left out."""

from __future__ import annotations

import numpy as np

from mubench.metrics.base import Goal, Outputs, Unavailable, metric
from mubench.metrics.performance import finite, losses

PADDING = -100
BETTER: dict[str, Goal] = {
    **dict.fromkeys(("test", "validation", "retain", "real_authors", "world_facts"), "higher"),
    "forget": "match",
}


def labelled(outputs: Outputs) -> np.ndarray:
    """Which of (N, T) places hold a label token; Unavailable for diverged, empty or tokenless examples."""
    losses(outputs)
    if outputs.targets.ndim != 2:
        raise Unavailable("the predictions hold no tokens")
    found: np.ndarray = outputs.targets != PADDING
    if not found.any(axis=1).all():
        raise Unavailable(f"{np.count_nonzero(~found.any(axis=1))} examples have no label token")
    return found


def token_log_probs(outputs: Outputs) -> np.ndarray:
    """The log-probability of each label token, (N, T) float64 in nats; 0 where there is none."""
    labels = labelled(outputs)
    if outputs.log_probs is None:
        raise Unavailable("the predictions hold no token probabilities")
    return finite(np.where(labels, outputs.log_probs, 0), "rows of token probabilities")


def mean_log_probs(outputs: Outputs) -> np.ndarray:
    """The mean log-probability per label token of each example, (N,) float64 in nats."""
    mean: np.ndarray = token_log_probs(outputs).sum(axis=1) / labelled(outputs).sum(axis=1)
    return mean


def right_tokens(outputs: Outputs) -> tuple[np.ndarray, np.ndarray]:
    """Which label tokens are the likeliest (N, T), and which places hold a label token (N, T)."""
    labels = labelled(outputs)
    if outputs.guesses is None:
        raise Unavailable("the predictions hold no guessed tokens")
    return (outputs.guesses == outputs.targets) & labels, labels


@metric(goal=BETTER, scope="split", reads="tokens", source="Maini et al., 2401.06121")
def label_probability(outputs: Outputs) -> float:
    """Mean of P(answer | prompt)^(1 / its tokens), in [0, 1]."""
    return float(np.exp(mean_log_probs(outputs)).mean())


@metric(goal=BETTER, scope="split", reads="tokens")
def token_accuracy(outputs: Outputs) -> float:
    """Share of all label tokens that are the likeliest after the true ones before them, in [0, 1]."""
    right, labels = right_tokens(outputs)
    return float(right.sum() / labels.sum())


@metric(goal={"forget": "match"}, scope="split", reads="tokens", source="Tirumala et al., 2205.10770")
def exact_memorisation(outputs: Outputs) -> float:
    """Mean over examples of the share of their label tokens that are the likeliest, in [0, 1]."""
    right, labels = right_tokens(outputs)
    return float((right.sum(axis=1) / labels.sum(axis=1)).mean())


@metric(goal={"forget": "match"}, scope="split", reads="tokens", source="Dorna et al., 2506.12618")
def extraction_strength(outputs: Outputs) -> float:
    """Mean share of an answer's tokens, counted from its end, that follow without an error, in [0, 1]."""
    right, labels = right_tokens(outputs)
    rest = (right | ~labels)[:, ::-1].cumprod(axis=1).astype(bool)[:, ::-1]  # no error from here on
    return float(((rest & labels).sum(axis=1) / labels.sum(axis=1)).mean())
