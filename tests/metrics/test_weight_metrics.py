"""Distances of weights from stored squares."""

from __future__ import annotations

import numpy as np
import pytest

from mubench.metrics.base import METRICS, Distances, Unavailable, View
from mubench.metrics.weights import by_layer

NAMES = ("conv.weight", "conv.bias", "blocks.0.fc.weight", "scale")
KNOWN = Distances(
    NAMES,
    {
        "original-unlearned": np.array([9.0, 16.0, 0.0, 0.0]),
        "retrained-unlearned": np.array([1.0, 0.0, 4.0, 4.0]),
        "original-retrained": np.array([0.0, 0.0, 0.0, 49.0]),
    },
)


def value(name: str, distances: Distances | None) -> float:
    return METRICS[name].function(View("unlearned", {}, distances=distances))


def test_a_layer_is_its_weight_and_bias():
    assert by_layer(KNOWN, "unlearned", "original") == {"conv": 5.0, "blocks.0.fc": 0.0, "": 0.0}
    assert by_layer(KNOWN, "original", "unlearned") == by_layer(KNOWN, "unlearned", "original")


def test_totals_are_of_all_weights():
    assert value("weight_distance_original", KNOWN) == 5
    assert value("weight_distance_retrained", KNOWN) == 3
    assert value("weight_distance_baseline", KNOWN) == 7


def test_a_pair_that_was_not_there_is_named():
    alone = Distances(NAMES, {"original-unlearned": np.ones(4)})
    assert value("weight_distance_original", alone) == 2
    with pytest.raises(Unavailable, match="no weights of the unlearned and the retrained model"):
        value("weight_distance_retrained", alone)


def test_diverged_weights_and_a_run_without_any_are_refused():
    bad = Distances(NAMES, {"original-unlearned": np.array([1, np.nan, 1, 1])})
    with pytest.raises(Unavailable, match="1 of 4 weights are not finite"):
        value("weight_distance_original", bad)
    with pytest.raises(Unavailable, match="no distances of weights"):
        value("weight_distance_original", None)
