"""The defaults on real data: no method destroys the model, and those that should forget do."""

from __future__ import annotations

from statistics import mean

import pytest
from omegaconf import OmegaConf

from mubench import catalog
from mubench.experiment import run
from mubench.plan import Planner
from mubench.progress import Reporter
from mubench.typed import component

DIRS = catalog.config_dirs()
TOWARDS = ("random_label", "salun", "scrub", "bad_teaching")  # their forget loss is held against a goal
TWICE = ("original", "retrain", *TOWARDS)  # over two seeds, so that the means say something


def applies(name: str, deletion: str) -> bool:
    """Whether a method is for the images and classes of digits, and for such deletions of them."""
    method = component(
        OmegaConf.to_container(OmegaConf.load(catalog.path_of("method", name, DIRS)))["method"], "method"
    )
    return bool(method.families & {"any", "image", "classes"}) and deletion in method.deletions


METHODS = [name for name in catalog.names("method", DIRS) if applies(name, "any")]
WHOLE = [name for name in catalog.names("method", DIRS) if applies(name, "class")]  # only classes


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("defaults")


@pytest.fixture(scope="module")
def scores(out):
    """{method: {value: mean over its seeds}} of every method on digits, 5 % deleted, by its defaults."""
    fixed = ["evaluation.metrics=[accuracy,loss]", f"out={out}", "seed.unlearn=${seed.train}"]
    once = [name for name in METHODS if name not in TWICE]
    typed = [
        [f"method={','.join(TWICE)}", "seed.train=42,43"],
        [f"method={','.join(once)}", "seed.train=42"],
    ]
    found: dict[str, list[dict]] = {}
    for cell in (cell for words in typed for cell in Planner(DIRS).cells([*fixed, *words], multirun=True)):
        record = run(cell, Reporter(quiet=True))
        found.setdefault(record.key["method"], []).append(record.metrics["unlearned"])
    return {
        name: {key: mean(r[key] for r in records) for key in records[0]} for name, records in found.items()
    }


def test_the_original_fits_the_training_set_and_generalises(scores):
    assert scores["original"]["retain_accuracy"] >= 0.995
    assert scores["original"]["test_accuracy"] >= 0.96


@pytest.mark.parametrize("name", METHODS)
def test_no_default_costs_more_than_five_points_of_test_accuracy(scores, name):
    assert scores[name]["test_accuracy"] > scores["original"]["test_accuracy"] - 0.05


@pytest.mark.parametrize("name", TOWARDS)
def test_forget_loss_moves_from_the_originals_towards_the_retrained_models(scores, name):
    original, goal = (scores[role]["forget_loss"] for role in ("original", "retrain"))
    assert goal > 5 * original
    moved = (scores[name]["forget_loss"] - original) / (goal - original)
    assert 0.1 < moved < 1.9


@pytest.mark.parametrize("name", WHOLE)
def test_a_method_for_whole_classes_forgets_one_and_keeps_the_others(out, name):
    typed = [f"method={name}", "deletion=class", "deletion.classes=[3]", "evaluation.metrics=[accuracy]"]
    (cell,) = Planner(DIRS).cells([*typed, f"out={out}"], multirun=False)
    scores = run(cell, Reporter(quiet=True)).metrics
    original, unlearned, retrained = (scores[role] for role in ("original", "unlearned", "retrained"))
    assert unlearned["test_accuracy"] > retrained["test_accuracy"] - 0.05
    assert unlearned["forget_accuracy"] < original["forget_accuracy"] / 2
