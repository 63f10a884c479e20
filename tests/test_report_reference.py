"""What is printed of layers apart, and of a forget set that tells nothing apart."""

from __future__ import annotations

import numpy as np
import pytest
from command_line import record_of

from mubench.evidence import load_distances, save_distances
from mubench.metrics.base import Distances
from mubench.metrics.weights import by_layer
from mubench.report.reference import doubt, layers


@pytest.mark.parametrize(
    ("signals", "doubted"),
    [
        ((1.99, 0.5), True),
        ((2.0, 0.5), False),
        ((0.0, 7.0), False),
        ((None, 1.0), True),
        ((None, None), False),
    ],
)
def test_a_forget_set_is_doubted_where_no_signal_is_beyond_noise(signals, doubted):
    names = ("signal_forget_accuracy", "signal_forget_loss")
    said = doubt(dict(zip(names, signals, strict=True)))
    assert (said is not None) == doubted
    if signals == (1.99, 0.5):
        assert said == (
            "original and retrained model hardly differ on D_f (2 times its noise in accuracy and 0.5 times "
            "its noise in loss): it tells no method from doing nothing"
        )


def test_a_record_without_a_retrained_model_is_not_doubted():
    assert doubt({}) is None and doubt({"tow": 1.0}) is None


def test_layers_of_the_models_that_were_there(tmp_path):
    assert layers(tmp_path) is None
    save_distances(Distances(("a.weight", "a.bias"), {"original-unlearned": np.array([9.0, 16.0])}), tmp_path)
    table = layers(tmp_path)
    assert [column.header for column in table.columns] == ["weights by layer", "unlearned - original"]
    assert [list(column.cells) for column in table.columns] == [["a"], ["5"]]


def test_a_run_shows_every_layer_and_keeps_totals_in_its_record(first, cli):
    (run,) = first.runs()
    found = load_distances(run)
    relative = record_of(run)["metrics"]["relative"]
    for name, pair in (("retrained", ("unlearned", "retrained")), ("original", ("unlearned", "original"))):
        total = np.linalg.norm(list(by_layer(found, *pair).values()))
        assert relative[f"weight_distance_{name}"] == pytest.approx(total) and total > 0
    shown = cli("show", "run", str(run)).out
    assert "weights by layer" in shown and all(
        layer in shown for layer in by_layer(found, "original", "retrained")
    )
    assert "weights.safetensors" in record_of(run)["files"]


def test_every_number_against_the_retrained_model_is_there_or_has_its_reason(first):
    (run,) = first.runs()
    record = record_of(run)
    for name, value in record["metrics"]["relative"].items():
        assert value is not None or record["reasons"][f"relative.{name}"]
    there = record["metrics"]["relative"]
    assert {"cka_forget", "cka_test_original", "signal_forget_accuracy", "signal_forget_loss"} <= set(there)
    assert there["signal_models"] == 1 and -1 <= there["cka_test"] <= 1
