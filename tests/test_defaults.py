"""The defaults on real data: no method destroys the model, and those that should forget do."""

from __future__ import annotations

from statistics import mean

import pytest

from mubench import catalog
from mubench.experiment import run
from mubench.plan import Planner
from mubench.progress import Reporter

DIRS = catalog.config_dirs()
METHODS = catalog.names("method", DIRS)
SEEDS = (42, 43, 44)


@pytest.fixture(scope="module")
def scores(tmp_path_factory):
    """{method: {value: mean over three seeds}} of every method on digits, 5 % deleted, by its defaults."""
    out = tmp_path_factory.mktemp("defaults")
    typed = ["evaluation.metrics=[accuracy,loss]", f"out={out}", f"method={','.join(METHODS)}",
             "seed.train=42,43,44", "seed.unlearn=${seed.train}"]  # fmt: skip
    found: dict[str, list[dict]] = {name: [] for name in METHODS}
    for cell in Planner(DIRS).cells(typed, multirun=True):
        record = run(cell, Reporter(quiet=True))
        found[record.key["method"]].append(record.metrics["unlearned"])
    assert all(len(records) == len(SEEDS) for records in found.values())
    return {
        name: {key: mean(r[key] for r in records) for key in records[0]} for name, records in found.items()
    }


def test_the_original_fits_the_training_set_and_generalises(scores):
    assert scores["original"]["retain_accuracy"] >= 0.995
    assert scores["original"]["test_accuracy"] >= 0.96


@pytest.mark.parametrize("name", METHODS)
def test_no_default_costs_more_than_five_points_of_test_accuracy(scores, name):
    assert scores[name]["test_accuracy"] > scores["original"]["test_accuracy"] - 0.05


@pytest.mark.parametrize("name", ["random_label", "salun", "scrub", "bad_teaching"])
def test_forget_loss_moves_from_the_originals_towards_the_retrained_models(scores, name):
    original, goal = (scores[role]["forget_loss"] for role in ("original", "retrain"))
    assert goal > 5 * original
    moved = (scores[name]["forget_loss"] - original) / (goal - original)
    assert 0.1 < moved < 1.9
