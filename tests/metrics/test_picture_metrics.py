"""FID, inception score and CLIP score against closed forms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mubench.metrics.base import Outputs, Unavailable
from mubench.metrics.pictures import clip_score, fid, frechet, inception_score

EMPTY = Outputs(losses=np.zeros(2, np.float32), targets=np.zeros(2, np.int64))


def outputs(**fields: np.ndarray) -> Outputs:
    return replace(EMPTY, **{name: np.asarray(value, np.float32) for name, value in fields.items()})


def moments(mean: np.ndarray, covariance: np.ndarray, count: int = 50, seed: int = 0) -> np.ndarray:
    """Rows whose sample mean and unbiased covariance are exactly these."""
    raw = np.random.default_rng(seed).normal(size=(count, len(mean)))
    raw -= raw.mean(axis=0)
    white = raw @ np.linalg.inv(np.linalg.cholesky(np.cov(raw, rowvar=False))).T
    return white @ np.linalg.cholesky(covariance).T + mean


def test_fid_of_gaussians_with_diagonal_covariances():
    """|m1 - m2|^2 + sum (s1 - s2)^2: 9 + 16 + (1 - 2)^2 + (3 - 5)^2 = 30."""
    first = moments(np.array([0.0, 0.0]), np.diag([1.0, 9.0]))
    second = moments(np.array([3.0, 4.0]), np.diag([4.0, 25.0]), 80, 1)
    assert frechet(first, second) == pytest.approx(30, abs=1e-6)
    assert fid(outputs(features=first, true_features=second)) == pytest.approx(30, abs=1e-3)


def test_fid_of_covariances_that_do_not_commute():
    """tr(S1 + S2) - 2 tr (S1 S2)^(1/2), the root's trace from the eigenvalues of the product, 2x2 by hand."""
    one, two = np.array([[2.0, 1.0], [1.0, 2.0]]), np.array([[3.0, 0.0], [0.0, 1.0]])
    product = one @ two  # tr = 8, det = 9: tr of the root = sqrt(8 + 2 * 3)
    assert np.trace(product) == 8 and round(np.linalg.det(product)) == 9
    zero = np.zeros(2)
    expected = 4 + 4 - 2 * np.sqrt(14)
    assert frechet(moments(zero, one), moments(zero, two, 60, 2)) == pytest.approx(expected, abs=1e-6)


def test_fid_of_equal_sets_is_zero_also_where_covariances_are_singular():
    rows = np.random.default_rng(0).normal(size=(5, 40))
    assert frechet(rows, rows) == pytest.approx(0, abs=1e-5)


def test_fid_of_one_feature_is_that_of_two_normal_distributions():
    assert frechet(np.array([[0.0], [2.0]]), np.array([[1.0], [5.0]])) == pytest.approx(4 + 2, abs=1e-9)


def test_inception_score_is_1_for_sameness_and_k_for_certainty_about_every_class():
    assert inception_score(outputs(class_probs=np.full((6, 3), 1 / 3))) == pytest.approx(1)
    assert inception_score(outputs(class_probs=np.eye(4))) == pytest.approx(4)
    # two pictures, (3/4, 1/4) and (1/4, 3/4): KL to (1/2, 1/2) = ln 2 - H(1/4)
    halves = np.array([[0.75, 0.25], [0.25, 0.75]])
    entropy = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25))
    assert inception_score(outputs(class_probs=halves)) == pytest.approx(2 * np.exp(-entropy))


def test_clip_score_cuts_at_zero_and_counts_in_percent():
    assert clip_score(outputs(similarity=[0.3, -0.5, 0.6])) == pytest.approx(30)


@pytest.mark.parametrize("metric", [fid, inception_score, clip_score])
def test_without_pictures_there_is_a_reason(metric):
    with pytest.raises(Unavailable, match="no pictures were painted"):
        metric(EMPTY)


def test_one_picture_is_too_few_for_fid_and_odd_values_are_named():
    with pytest.raises(Unavailable, match="at least two pictures"):
        fid(outputs(features=[[1.0, 2.0]], true_features=[[1.0, 2.0]]))
    with pytest.raises(Unavailable, match="not finite"):
        clip_score(outputs(similarity=[np.nan]))
