"""CKA against the estimators of Kornblith et al. and of Song et al., written out another way."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from predictions_by_hand import random_outputs

from mubench.metrics.base import METRICS, Outputs, Unavailable, View
from mubench.metrics.cka import cka, penultimate

RNG = np.random.default_rng


def features(seed: int, examples: int = 50, width: int = 8) -> np.ndarray:
    return RNG(seed).normal(size=(examples, width))


def hsic(x: np.ndarray, y: np.ndarray) -> float:
    """The unbiased estimator of Song et al. (2007), equation 5, term by term."""
    n = len(x)
    a, b = (values @ values.T * (1 - np.eye(n)) for values in (x, y))
    one = np.ones(n)
    trace, sums = np.trace(a @ b), (one @ a @ one) * (one @ b @ one)
    return (trace + sums / ((n - 1) * (n - 2)) - 2 / (n - 2) * (one @ a @ b @ one)) / (n * (n - 3))


@pytest.mark.parametrize(("examples", "width"), [(50, 8), (12, 40), (4, 3)])
def test_agrees_with_the_unbiased_estimator_of_hsic(examples, width):
    x = features(0, examples, width)
    y = x + features(1, examples, width)
    expected = hsic(x, y) / np.sqrt(hsic(x, x) * hsic(y, y))
    assert cka(x, y) == pytest.approx(expected)


def test_nears_the_biased_form_where_examples_are_many():
    x = features(0, 2000, 5)
    y = x @ features(1, 5, 7) + features(2, 2000, 7)
    a, b = x - x.mean(0), y - y.mean(0)
    biased = np.sum((b.T @ a) ** 2) / (np.linalg.norm(a.T @ a) * np.linalg.norm(b.T @ b))
    assert cka(x, y) == pytest.approx(biased, abs=0.003)


def test_equal_features_score_one():
    x = features(0)
    assert cka(x, x) == pytest.approx(1)


def test_rotations_shifts_and_scales_change_nothing():
    x, y = features(0), features(0) + features(1)
    rotation, _ = np.linalg.qr(features(2, 8, 8))
    assert cka(x @ rotation, y) == pytest.approx(cka(x, y))
    assert cka(1e-4 * x, 300 * y + 7) == pytest.approx(cka(x, y))
    assert cka(y, x) == pytest.approx(cka(x, y))


def test_a_scale_of_one_direction_changes_it():
    """CKA is not invariant to every linear map: else wide features would all be alike."""
    x = features(0)
    assert cka(x, x * np.array([30, *[1] * 7])) < 0.8


def test_unrelated_features_score_nothing_in_the_mean_however_wide():
    """The biased form scores .9 here."""
    found = [cka(features(seed, 20, 200), features(seed + 1000, 20, 200)) for seed in range(200)]
    assert np.mean(found) == pytest.approx(0, abs=0.02)
    x, y = (a - a.mean(0) for a in (features(0, 20, 200), features(1, 20, 200)))
    assert np.sum((y.T @ x) ** 2) / (np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y)) > 0.85


def test_constant_features_and_few_examples_are_refused():
    with pytest.raises(Unavailable, match="same for every example"):
        cka(np.ones((10, 3)), features(0, 10, 3))
    with pytest.raises(Unavailable, match="4 examples"):
        cka(features(0, 3), features(1, 3))
    with pytest.raises(Unavailable, match="same for both"):
        cka(features(0, 5), features(1, 6))


def outputs(seed: int, rows=None, values=None) -> Outputs:
    at = np.arange(0, 100, 2) if rows is None else rows
    found = features(seed) if values is None else values
    return replace(random_outputs(100, 0), probed=at, penultimate=found.astype(np.float32))


def view(**changed) -> View:
    models = {"unlearned": outputs(0), "retrained": outputs(1), "original": outputs(2), **changed}
    return View("unlearned", {role: {"forget": found, "test": found} for role, found in models.items()})


@pytest.mark.parametrize("split", ["forget", "test"])
def test_the_metric_compares_with_the_retrained_model_and_tells_what_the_original_scores(split):
    found = METRICS[f"cka_{split}"].function(view())
    assert found == {
        f"cka_{split}": pytest.approx(cka(features(0), features(1)), abs=1e-6),
        f"cka_{split}_original": pytest.approx(cka(features(2), features(1)), abs=1e-6),
    }


def test_the_retrained_model_itself_scores_one():
    assert METRICS["cka_forget"].function(view(unlearned=outputs(1)))["cka_forget"] == pytest.approx(1)


def test_huge_and_tiny_features_keep_their_digits():
    """Raw Gram matrices of float32 features far from 0 would lose them."""
    x = (features(0) * 1e-3 + 1e3).astype(np.float32)
    seen = penultimate(outputs(0, values=x))
    assert cka(seen, features(0)) == pytest.approx(cka(x.astype(float), features(0)), rel=1e-4)


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (replace(outputs(0), penultimate=None), "no features"),
        (outputs(0, values=np.where(np.arange(50)[:, None] == 3, np.nan, features(0))), "1 of 50 rows"),
        (outputs(0, rows=np.arange(50)), "not of the same forget examples"),
    ],
)
@pytest.mark.parametrize("role", ["unlearned", "original", "retrained"])
def test_what_cannot_be_compared_is_refused(broken, said, role):
    with pytest.raises(Unavailable, match=said):
        METRICS["cka_forget"].function(view(**{role: broken}))
