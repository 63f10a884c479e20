"""Accuracy, loss and the log-softmax under them."""

from __future__ import annotations

import numpy as np
import pytest
from predictions_by_hand import from_correct, from_probabilities
from scipy.special import log_softmax

from mubench.metrics.base import METRICS, Outputs, Unavailable
from mubench.metrics.performance import accuracy, log_probabilities, loss


def test_accuracy_counts_the_right():
    """3 of 4 right."""
    assert accuracy(from_correct([1, 0, 1, 1], classes=3)) == 0.75


def test_a_constant_predictor_gets_the_share_of_its_class():
    """All logits equal: the first class is chosen, which 1 of 4 labels is."""
    assert accuracy(Outputs(np.ones(4), np.array([0, 1, 2, 1]), np.zeros((4, 3)))) == 0.25


def test_loss_is_the_mean_in_nats():
    """Labels at probabilities 1/2 and 1/8: (ln 2 + ln 8) / 2 = 2 ln 2."""
    outputs = from_probabilities([[0.5, 0.5], [0.125, 0.875]], [0, 0])
    assert loss(outputs) == pytest.approx(2 * np.log(2))


def test_loss_is_summed_in_float64():
    """In float32 the ones vanish beside 2^25; the mean of 2^25 and 127 ones is exact in float64."""
    losses = np.array([2.0**25] + [1.0] * 127, dtype=np.float32)
    assert loss(Outputs(losses, np.zeros(128, int), np.zeros((128, 2)))) == (2**25 + 127) / 128


def test_log_probabilities_agree_with_scipy_and_stay_finite():
    logits = np.random.default_rng(0).normal(size=(50, 7)) * 20
    logits[0] = [0, 5000, -5000, 0, 0, 0, 0]
    found = log_probabilities(Outputs(np.ones(50), np.zeros(50, int), logits))
    np.testing.assert_allclose(found, log_softmax(logits, axis=1), atol=1e-12)
    assert found.dtype == np.float64 and np.isfinite(found).all()


@pytest.mark.parametrize("shape", [(4,), (4, 0), (4, 1), (4, 2, 3)])
def test_logits_without_classes_are_refused(shape):
    with pytest.raises(Unavailable, match="classes"):
        accuracy(Outputs(np.ones(4), np.zeros(4, int), np.zeros(shape)))


def test_forget_accuracy_is_to_match_not_to_vanish():
    assert METRICS["accuracy"].goal["forget"] == METRICS["loss"].goal["forget"] == "match"
    assert METRICS["accuracy"].goal["retain"] == "higher"
    assert METRICS["loss"].goal["test"] == "lower"
