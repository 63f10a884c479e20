"""MU-Bench's own metrics: none needs a retrained model (Cheng & Amiri, 2406.14796)."""

from __future__ import annotations

import numpy as np

from mubench.metrics.base import Unavailable, View, metric
from mubench.metrics.performance import log_probabilities, logits, share_correct

ROUNDING = 1e-12  # a difference of exactly 20 % is tolerated whatever its last bit


def js_divergence(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Jensen-Shannon divergence of rows of probabilities (N, C): (N,) nats in [0, ln 2]."""
    from scipy.special import rel_entr

    middle = (p + q) / 2
    divergence = (rel_entr(p, middle) + rel_entr(q, middle)).sum(axis=1) / 2
    return np.asarray(np.clip(divergence, 0, np.log(2)))


@metric(goal="higher", needs=("original",), source="MU-Bench")
def overall(view: View) -> float:
    """Harmonic mean of keeping test accuracy and of bringing forget accuracy to chance, in [0, 1].

    Of 1 - |a_t - a_t_original| and 1 - |a_f - 1/C|. 0 if a_t differs from the original's by over
    20 % of it (40 % for methods of gradient ascent), or if a_f is below 1/C by over 20 % of 1/C.
    """
    test = share_correct(view.outputs("test"))
    original = share_correct(view.outputs("test", "original"))
    forget = share_correct(view.outputs("forget"))
    chance = 1 / logits(view.outputs("forget")).shape[1]
    tolerated = (0.4 if view.ascent else 0.2) * original
    if abs(test - original) > tolerated + ROUNDING or forget < 0.8 * chance - ROUNDING:
        return 0.0
    kept, forgotten = 1 - abs(test - original), 1 - abs(forget - chance)
    return float(2 * kept * forgotten / (kept + forgotten))


@metric(goal="higher", source="MU-Bench's published model cards")
def overall_v1(view: View) -> float:
    """(test accuracy + 1 - forget accuracy) / 2, in [0, 1]: the form of the paper's time.

    For comparison with published numbers only: a constant predictor scores well on it.
    """
    test, forget = view.outputs("test"), view.outputs("forget")
    return (share_correct(test) + 1 - share_correct(forget)) / 2


@metric(goal="match", source="MU-Bench")
def knowledge_gap(view: View) -> float:
    """AUC of correctness between D_r (1) and D_f (0), in [0, 1]; .5 where both are known alike.

    Exact without resampling: two binary scores have the AUC .5 + (a_r - a_f) / 2.
    """
    retain, forget = view.outputs("retain"), view.outputs("forget")
    return 0.5 + (share_correct(retain) - share_correct(forget)) / 2


@metric(goal="match", needs=("incompetent",), source="Chundawat et al., 2205.08096")
def zrf(view: View) -> float:
    """1 - mean JS divergence on D_f from an untrained model's predictions, in [0, 1].

    Base 2; 1 where the two agree. The incompetent model is the same architecture, freshly
    initialised.
    """
    p = np.exp(log_probabilities(view.outputs("forget")))
    q = np.exp(log_probabilities(view.outputs("forget", "incompetent")))
    if p.shape != q.shape:
        raise Unavailable(f"the incompetent model's predictions are {q.shape}, not {p.shape}")
    return 1 - float(js_divergence(p, q).mean() / np.log(2))


@metric(goal="match", source="MU-Bench's code")
def zrf_noise(view: View) -> float:
    """1 - mean JS divergence on D_f from the softmax of uniform noise, in [1 - ln 2, 1].

    Natural logarithm; the noise is U[0, 1) for every logit, drawn from seed.eval.
    """
    p = np.exp(log_probabilities(view.outputs("forget")))
    q = np.exp(view.rng("zrf_noise").random(p.shape))
    return 1 - float(js_divergence(p, q / q.sum(axis=1, keepdims=True)).mean())
