"""Whether original and retrained model differ beyond noise, at the boundary, with and without shadows."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from predictions_by_hand import from_correct, from_losses, random_outputs

from mubench.metrics import signal
from mubench.metrics.base import METRICS, Outputs, Unavailable, View
from mubench.metrics.performance import losses
from mubench.scoring import score


def right(count: int, of: int = 100) -> Outputs:
    return from_correct([1] * count + [0] * (of - count))


def view(original: Outputs, retrained: Outputs, originals=(), retraineds=()) -> View:
    others = {
        "original": [{"forget": o} for o in originals],
        "retrained": [{"forget": o} for o in retraineds],
    }
    models = {"original": {"forget": original}, "retrained": {"forget": retrained}}
    return View("unlearned", models, others={role: some for role, some in others.items() if some})


def accuracy(*arguments) -> float:
    return METRICS["signal_forget_accuracy"].function(view(*arguments))


def test_without_shadows_the_noise_is_the_paired_error_of_the_mean():
    """10 of 100 differ, all one way: mean .1, error sqrt(.1 x .9 / 99)."""
    assert accuracy(right(100), right(90)) == pytest.approx(0.1 / np.sqrt(0.09 / 99))
    found = signal.accuracy(view(right(100), right(90)))
    assert (found.by, found.models, found.examples) == (pytest.approx(0.1), 1, 100)


def test_what_both_get_wrong_is_no_noise():
    """Paired: 50 wrong of both add none, where two samples' errors would add .05 each."""
    both = from_correct([1] * 45 + [0] * 55), from_correct([1] * 40 + [0] * 60)
    assert accuracy(*both) == pytest.approx(0.05 / np.sqrt(0.05 * 0.95 / 99))


def test_of_losses():
    rng = np.random.default_rng(0)
    first, second = rng.gamma(2, 1, (2, 60)) + 0.01
    found = METRICS["signal_forget_loss"].function(view(from_losses(first), from_losses(second)))
    apart = first - second
    assert found == pytest.approx(abs(apart.mean()) / (apart.std(ddof=1) / np.sqrt(60)))


def test_equal_models_leave_no_signal_and_opposite_ones_a_finite_one():
    assert accuracy(right(100), right(100)) == 0
    assert accuracy(right(100), right(0)) == pytest.approx(100)  # one example's worth of noise at least
    assert accuracy(right(0), right(100)) == pytest.approx(100)


def test_with_shadows_the_noise_is_that_of_training_seeds():
    """Originals .98 .96 .94 around .96, retrained .9 .9 .87: noise is the root of both variances."""
    found = view(right(98), right(90), [right(96), right(94)], [right(90), right(87)])
    o, r = np.array([0.98, 0.96, 0.94]), np.array([0.90, 0.90, 0.87])
    expected = (o.mean() - r.mean()) / np.sqrt(o.var(ddof=1) + r.var(ddof=1))
    assert signal.accuracy(found).signal == pytest.approx(expected)
    assert METRICS["signal_models"].function(found) == 3


def test_one_shadow_of_each_is_no_spread():
    found = view(right(98), right(90), [right(98)], [right(90)])
    assert signal.accuracy(found).signal == accuracy(right(98), right(90))
    assert METRICS["signal_models"].function(found) == 1


@pytest.mark.parametrize(("by", "clear"), [(1.99, False), (2.0, True), (2.01, True)])
def test_a_difference_counts_from_twice_its_noise_on(by, clear):
    found = signal.Difference(by, 1.0, 1, 100)
    if clear:
        found.demand("accuracy")
    else:
        with pytest.raises(Unavailable, match=r"differ by 1.99 in accuracy.*noise of 1 \(over 100 examples"):
            found.demand("accuracy")


def whole(found: View, unlearned: int = 95) -> View:
    """With an unlearned model, and retain and test that all know."""
    models = {
        role: {"retain": right(100), "test": right(100), **splits} for role, splits in found.models.items()
    }
    mine = {"retain": right(100), "test": right(100), "forget": right(unlearned)}
    return replace(found, models={**models, "unlearned": mine})


def test_a_ratio_is_suppressed_within_noise_and_says_both_numbers():
    ret_dev = METRICS["ret_dev"].function
    assert ret_dev(whole(view(right(100), right(90)))) == pytest.approx(95 / 90 - 1)
    with pytest.raises(Unavailable, match=r"differ by 0.02 in accuracy on D_f.* noise of 0.0141 \(over 100"):
        ret_dev(whole(view(right(100), right(98))))


def test_seeds_suppress_a_ratio_that_examples_alone_would_not():
    """.10 apart, but seeds move the retrained models by .07: the sampling error was a lower bound."""
    seeds = ([right(100)] * 2, [right(97), right(83)])
    with pytest.raises(Unavailable, match=r"differ by 0.1 .* noise of 0.07 \(over 3 models of each\)"):
        METRICS["ret_dev"].function(whole(view(right(100), right(90), *seeds)))


def test_gaps_and_products_of_gaps_stay():
    """They say truly that the model is close, as the original is."""
    near = whole(view(right(100), right(98)))
    assert METRICS["tow"].function(near) == pytest.approx(0.97)
    assert METRICS["gap_forget_accuracy"].function(near) == pytest.approx(0.03)


def test_diverged_missing_and_unequal_predictions_are_refused():
    bad = replace(right(90), losses=np.full(100, math.nan))
    with pytest.raises(Unavailable, match="100 of 100 losses are not finite"):
        METRICS["signal_forget_loss"].function(view(right(90), bad))
    with pytest.raises(Unavailable, match="losses are not finite"):
        seeds = ([right(90)] * 2, [bad] * 2)
        METRICS["signal_forget_loss"].function(view(right(90), right(90), *seeds))
    with pytest.raises(Unavailable, match="same forget examples"):
        accuracy(right(10, 20), right(10, 21))
    with pytest.raises(Unavailable, match="no retrained model"):
        METRICS["signal_forget_accuracy"].function(View("unlearned", {"original": {"forget": right(3, 4)}}))
    with pytest.raises(Unavailable, match="one example"):
        accuracy(right(1, 1), right(1, 1))


def test_a_class_that_is_gone_is_the_strongest_signal():
    """The retrained model never saw the class of D_f: all wrong, however they were distributed before."""
    found = view(right(93), right(0))
    assert signal.accuracy(found).signal > 30
    with pytest.raises(Unavailable, match="accuracy on forget is 0"):
        METRICS["ret_dev"].function(whole(found))


def test_a_forget_set_larger_than_the_test_set_changes_nothing():
    """Only D_f is looked at."""
    large = random_outputs(5000, 0), random_outputs(5000, 0, 0.5)
    found = signal.difference(view(*large), losses)
    assert found.examples == 5000 and found.signal > 2


def test_information_that_is_missing_is_null_with_its_reason():
    """Its goal is none, but its name is known."""
    alone = View("unlearned", {"original": {"forget": right(9, 10)}, "unlearned": {"forget": right(9, 10)}})
    values, reasons = score(alone, [METRICS["signal_forget_accuracy"], METRICS["signal_models"]])
    assert values["relative"] == {"signal_forget_accuracy": None, "signal_models": None}
    assert reasons["relative.signal_models"] == "there is no retrained model"
