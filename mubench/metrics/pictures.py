"""Painted pictures: how far from the true ones, how sharp and varied, how near to their prompts."""

from __future__ import annotations

import warnings

import numpy as np

from mubench.metrics.base import Goal, Outputs, Unavailable, metric

_HIGHER: dict[str, Goal] = {"test": "higher", "validation": "higher", "retain": "higher", "forget": "match"}
_LOWER: dict[str, Goal] = {"test": "lower", "validation": "lower", "retain": "lower", "forget": "match"}


def frechet(first: np.ndarray, second: np.ndarray) -> float:
    """|m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)) of Gaussians fitted to rows (M, D) and (N, D), float64.

    The covariances are the unbiased ones; at least two rows each.
    """
    from scipy.linalg import sqrtm

    means = first.mean(axis=0), second.mean(axis=0)
    one, two = (np.atleast_2d(np.cov(rows, rowvar=False)) for rows in (first, second))
    with warnings.catch_warnings():  # of singular matrices: covariances of few rows are; their root exists
        warnings.simplefilter("ignore")
        root = sqrtm(one @ two)
    gap = means[0] - means[1]
    distance = gap @ gap + np.trace(one) + np.trace(two) - 2 * np.trace(root.real)
    return float(max(distance, 0.0))  # rounding may leave a hair below


@metric(goal=_LOWER, scope="split", reads="pictures", source="Heusel et al., 1706.08500")
def fid(outputs: Outputs) -> float:
    """Frechet distance between features of the painted and of the true pictures, at least 0.

    Over the M pictures of the split's sample (`evaluation.generate`), at least two. It falls with M:
    compare only values of equal samples and of one feature network, never with published ones unless
    both agree. With fewer pictures than features the covariances are singular and the value is large.
    """
    painted, true = _rows(outputs.features), _rows(outputs.true_features)
    if min(len(painted), len(true)) < 2:
        raise Unavailable("a Frechet distance needs at least two pictures")
    return frechet(painted, true)


@metric(goal=_HIGHER, scope="split", reads="pictures", source="Salimans et al., 1606.03498")
def inception_score(outputs: Outputs) -> float:
    """exp of the mean KL between each painted picture's class probabilities and their mean, 1 to K.

    Over all M pictures together, not in ten parts. The classes are the training prompts.
    """
    probabilities = _rows(outputs.class_probs)
    logs = np.log(np.clip(probabilities, 1e-30, None))
    mean = np.log(np.clip(probabilities.mean(axis=0), 1e-30, None))
    return float(np.exp((probabilities * (logs - mean)).sum(axis=1).mean()))


@metric(goal=_HIGHER, scope="split", reads="pictures", source="Hessel et al., 2104.08718")
def clip_score(outputs: Outputs) -> float:
    """Mean over the painted pictures of 100 max(0, cosine of picture and prompt), 0 to 100.

    Where the features are no CLIP's, 100 times the mean probability of the prompt.
    """
    return float(100 * np.clip(_rows(outputs.similarity), 0, None).mean())


def _rows(values: np.ndarray | None) -> np.ndarray:
    """Values (M, ...) as float64; Unavailable if there are none or some are not finite."""
    if values is None or not len(values):
        raise Unavailable("no pictures were painted")
    rows = np.asarray(values, dtype=np.float64)
    if not np.isfinite(rows).all():
        raise Unavailable("what was seen in the pictures is not finite")
    return rows
