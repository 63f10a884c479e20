"""F1 by hand, and on which tasks the one that leaves a class out applies."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from predictions_by_hand import random_outputs

from mubench.errors import UsageError
from mubench.evaluation import chosen
from mubench.metrics.base import METRICS, Outputs, Unavailable
from mubench.metrics.f1 import macro_f1, micro_f1


def guessed(targets, guesses, classes=3, negative=0) -> Outputs:
    """Outputs whose largest logit is at the guess."""
    logits = np.eye(classes, dtype=np.float32)[np.asarray(guesses)]
    return Outputs(np.ones(len(targets)), np.asarray(targets), logits, negative=np.array([negative]))


def test_macro_f1_is_the_mean_over_classes():
    """0: TP 2, FP 1, FN 1 -> 2/3; 1: TP 1, FP 1, FN 1 -> 1/2; 2: TP 1 -> 1. Mean 13/18."""
    outputs = guessed([0, 0, 0, 1, 1, 2], [0, 0, 1, 1, 0, 2])
    assert macro_f1(outputs) == pytest.approx(13 / 18)


def test_a_class_that_occurs_nowhere_does_not_count_and_a_missed_one_counts_zero():
    """Of five classes two occur; class 1 is never given: (2/3 + 0) / 2 with TP 2, FP 2 for class 0."""
    assert macro_f1(guessed([0, 0, 1, 1], [0, 0, 0, 0], classes=5)) == pytest.approx(1 / 3)


def test_micro_f1_leaves_the_negative_class_out():
    """Positives 1 and 2: TP 2 (one of each), FP 2 (0 given 1, 1 given 2), FN 2 (1 given 2, 2 given 0).

    F1 = 2*2 / (2*2 + 2 + 2) = 1/2, whatever the three right negatives.
    """
    targets, guesses = [0, 0, 0, 0, 1, 1, 2, 2], [0, 0, 0, 1, 1, 2, 2, 0]
    assert micro_f1(guessed(targets, guesses)) == 0.5
    more = guessed([*targets, *[0] * 50], [*guesses, *[0] * 50])
    assert micro_f1(more) == 0.5
    assert macro_f1(more) > macro_f1(guessed(targets, guesses))


def test_micro_f1_follows_the_class_that_is_negative():
    """With class 2 negative: TP 4 (three 0, one 1), FP 2 (0 given 1, 2 given 0), FN 2. F1 = 8/12."""
    outputs = guessed([0, 0, 0, 0, 1, 1, 2, 2], [0, 0, 0, 1, 1, 2, 2, 0], negative=2)
    assert micro_f1(outputs) == pytest.approx(2 / 3)


def test_without_positives_or_a_negative_class_there_is_no_micro_f1():
    with pytest.raises(Unavailable, match="no example has or is given a positive class"):
        micro_f1(guessed([0, 0], [0, 0]))
    assert micro_f1(guessed([0, 0], [0, 1])) == 0.0
    with pytest.raises(Unavailable, match="names no negative class"):
        micro_f1(replace(random_outputs(5, 0), negative=None))


def test_micro_f1_is_asked_only_of_tasks_with_a_negative_class():
    gives = frozenset({"losses", "classes"})
    assert METRICS["micro_f1"] not in chosen(["all"], gives)
    assert METRICS["macro_f1"] in chosen(["all"], gives)
    assert METRICS["micro_f1"] in chosen(["all"], gives | {"positives"})
    with pytest.raises(
        UsageError, match="metric 'micro_f1' reads positives; this task gives classes, losses"
    ):
        chosen(["micro_f1"], gives)
