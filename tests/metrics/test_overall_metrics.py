"""MU-Bench's own metrics, against values worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from predictions_by_hand import from_correct, from_probabilities, random_outputs
from scipy.spatial.distance import jensenshannon
from sklearn.metrics import roc_auc_score

from mubench.metrics.base import Outputs, Unavailable, View
from mubench.metrics.overall import (
    js_divergence,
    knowledge_gap,
    overall,
    overall_v1,
    zrf,
    zrf_noise,
)


def share(right: int, of: int, classes: int = 2) -> Outputs:
    return from_correct([1] * right + [0] * (of - right), classes)


def scored(test: int, forget: int, original: int, classes: int = 2, ascent: bool = False) -> float:
    """`overall` of tenths: test and forget accuracy, and the original's test accuracy."""
    models = {"unlearned": {"test": share(test, 10, classes), "forget": share(forget, 10, classes)},
              "original": {"test": share(original, 10, classes)}}  # fmt: skip
    return overall(View("unlearned", models, ascent=ascent))


def test_overall_is_the_harmonic_mean():
    """a_t .8 from .9, a_f .7, chance .5: 2 (.9)(.8) / (.9 + .8) = 1.44 / 1.7."""
    assert scored(8, 7, 9) == pytest.approx(1.44 / 1.7)
    assert scored(9, 5, 9) == 1.0


def test_chance_is_one_in_the_number_of_classes():
    """5 classes, chance .2; a_f = .2 is perfect and a_f = .5 costs .3: 2 (1)(.7) / 1.7."""
    assert scored(9, 2, 9, classes=5) == 1.0
    assert scored(9, 5, 9, classes=5) == pytest.approx(1.4 / 1.7)


def test_test_accuracy_may_move_by_a_fifth_of_the_originals():
    """Of 1.0: .8 is exactly 20 % off and allowed, .7 is not; a gain counts like a loss."""
    assert scored(8, 5, 10) == pytest.approx(1.6 / 1.8)
    assert scored(7, 5, 10) == 0.0
    assert scored(6, 5, 5) == pytest.approx(1.8 / 1.9)
    assert scored(7, 5, 5) == 0.0


def test_exactly_a_fifth_is_allowed_whatever_its_last_bit():
    """.9 - .72 is .18000000000000005 in float64, over .2 x .9 by that alone."""
    models = {"unlearned": {"test": share(36, 50), "forget": share(5, 10)}}
    view = View("unlearned", {**models, "original": {"test": share(45, 50)}})
    assert overall(view) == pytest.approx(2 * 0.82 / 1.82)


def test_gradient_ascent_is_allowed_two_fifths():
    assert scored(6, 5, 10, ascent=True) == pytest.approx(1.2 / 1.6)
    assert scored(5, 5, 10, ascent=True) == 0.0


def test_forgetting_below_chance_by_over_a_fifth_of_it_scores_nothing():
    """Chance .5, so .4 is exactly the bound; .3 and 19 of 50 are below it."""
    assert scored(9, 4, 9) == pytest.approx(1.8 / 1.9)
    assert scored(9, 3, 9) == 0.0
    models = {"unlearned": {"test": share(9, 10), "forget": share(19, 50)}}
    assert overall(View("unlearned", {**models, "original": models["unlearned"]})) == 0.0


def test_overall_of_the_original_itself():
    """Nothing lost on test, forget accuracy 1, chance .5: 2 (1)(.5) / 1.5."""
    models = {"original": {"test": share(9, 10), "forget": share(10, 10)}}
    assert overall(View("original", models)) == pytest.approx(1 / 1.5)


def test_overall_v1_by_hand_and_its_flaw():
    """(.8 + 1 - .3) / 2; a model always wrong on D_f gains .5 by that alone."""
    models = {"unlearned": {"test": share(8, 10), "forget": share(3, 10)}}
    assert overall_v1(View("unlearned", models)) == pytest.approx(0.75)


def test_knowledge_gap_is_the_auc_of_correctness():
    """Slow reference: scikit-learn on the 0/1 scores, the sets of unequal size."""
    right_r, right_f = [1, 1, 0, 1, 1, 1, 0], [0, 1, 0]
    models = {"unlearned": {"retain": from_correct(right_r), "forget": from_correct(right_f)}}
    slow = roc_auc_score([1] * 7 + [0] * 3, right_r + right_f)
    assert knowledge_gap(View("unlearned", models)) == pytest.approx(slow)
    assert slow == pytest.approx(0.5 + (5 / 7 - 1 / 3) / 2)


def test_js_divergence_agrees_with_scipy_and_has_its_bounds():
    p, q = np.random.default_rng(0).dirichlet(np.ones(6), size=(2, 40))
    slow = jensenshannon(p, q, axis=1) ** 2
    np.testing.assert_allclose(js_divergence(p, q), slow, atol=1e-12)
    corners = np.eye(2)
    np.testing.assert_allclose(js_divergence(corners, corners[::-1]), np.log(2))
    assert (js_divergence(p, p) == 0).all()


def test_zrf_by_hand():
    """p = (1/2, 1/2), q = (1, 0) nearly: JS = 3/4 log2(4/3) + ... in closed form below.

    m = (3/4, 1/4). KL(p||m) = 1/2 log2(2/3) + 1/2 log2(2); KL(q||m) = log2(4/3).
    """
    tiny = 1e-300
    models = {
        "unlearned": {"forget": from_probabilities([[0.5, 0.5]], [0])},
        "incompetent": {"forget": from_probabilities([[1.0, tiny]], [0])},
    }
    js = (0.5 * np.log2(2 / 3) + 0.5 + np.log2(4 / 3)) / 2
    assert zrf(View("unlearned", models)) == pytest.approx(1 - js)


def test_zrf_is_one_for_equal_models_and_zero_for_opposite_ones():
    equal = {"forget": random_outputs(30, 0)}
    assert zrf(View("unlearned", {"unlearned": equal, "incompetent": equal})) == 1.0
    tiny = 1e-300
    opposite = {
        "unlearned": {"forget": from_probabilities([[1, tiny]], [0])},
        "incompetent": {"forget": from_probabilities([[tiny, 1]], [0])},
    }
    assert zrf(View("unlearned", opposite)) == pytest.approx(0)


def test_zrf_lies_between_and_refuses_other_examples(view):
    assert 0 < zrf(view) < 1
    other = {**view.models, "incompetent": {"forget": random_outputs(7, 0)}}
    with pytest.raises(Unavailable, match="incompetent"):
        zrf(replace(view, models=other))


def test_zrf_noise_of_a_flat_and_of_a_certain_model():
    """C = 2: noise gives q_1 in (.27, .73), so a flat model is near 1; a certain one is not.

    For p = (1, 0) and q = (1/2, 1/2): JS = (ln(4/3) + ln(2/3)/2 + ln(2)/2) / 2 = .2158 nats.
    """
    flat = {"unlearned": {"forget": from_probabilities([[0.5, 0.5]] * 500, [0] * 500)}}
    certain = {"unlearned": {"forget": from_probabilities([[1, 1e-300]] * 500, [0] * 500)}}
    assert zrf_noise(View("unlearned", flat)) > 0.98
    assert zrf_noise(View("unlearned", certain)) == pytest.approx(1 - 0.2158, abs=0.02)


def test_zrf_noise_draws_from_the_seed(view):
    assert zrf_noise(view) != zrf_noise(replace(view, seed=1))
    assert 1 - np.log(2) <= zrf_noise(view) <= 1
