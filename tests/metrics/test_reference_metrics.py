"""Distances from the retrained model, against values worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from predictions_by_hand import from_correct, from_probabilities, random_outputs
from scipy.spatial.distance import jensenshannon

from mubench.metrics import reference
from mubench.metrics.base import METRICS, Outputs, Unavailable, View
from mubench.metrics.membership import mia_efficacy


def tenths(**right: int) -> dict:
    """Splits of 100 with this many tenths right."""
    return {name: from_correct(np.repeat([1] * n + [0] * (10 - n), 10)) for name, n in right.items()}


def pair(unlearned: dict, retrained: dict) -> View:
    """Beside an original that knows all of D_f."""
    models = {"unlearned": unlearned, "retrained": retrained, "original": tenths(forget=10)}
    return View("unlearned", models)


def value(name: str, view: View) -> float:
    return METRICS[name].function(view)


@pytest.fixture
def by_hand() -> View:
    return pair(tenths(forget=5, retain=9, test=8), tenths(forget=8, retain=10, test=8))


def test_gaps_are_absolute_and_by_split(by_hand):
    """.5 against .8, .9 against 1, .8 against .8; losses differ as the wrong ones cost ln 9 more."""
    assert value("gap_forget_accuracy", by_hand) == pytest.approx(0.3)
    assert value("gap_retain_accuracy", by_hand) == pytest.approx(0.1)
    assert value("gap_test_accuracy", by_hand) == 0
    assert value("gap_forget_loss", by_hand) == pytest.approx(0.3 * np.log(9))
    turned = pair(by_hand.models["retrained"], by_hand.models["unlearned"])
    assert value("gap_forget_accuracy", turned) == pytest.approx(0.3)


def test_a_gap_misses_only_its_own_split(by_hand):
    with pytest.raises(Unavailable, match="validation"):
        value("gap_validation_loss", by_hand)


def test_tug_of_war(by_hand):
    """(1 - .3)(1 - .1)(1 - 0) = .63."""
    assert reference.tow(by_hand) == pytest.approx(0.63)


def test_retention_deviation(by_hand):
    """|.9 - 1| + |5/8 - 1| + |1 - 1| = .1 + .375."""
    assert reference.ret_dev(by_hand) == pytest.approx(0.475)


def test_retention_deviation_is_null_where_a_class_is_gone(by_hand):
    """The retrained model never saw the class: accuracy 0 on D_f, and no ratio to it."""
    gone = pair(by_hand.models["unlearned"], tenths(forget=0, retain=10, test=8))
    with pytest.raises(Unavailable, match="accuracy on forget is 0"):
        reference.ret_dev(gone)
    assert reference.tow(gone) == pytest.approx((1 - 0.5) * (1 - 0.1))


def test_average_gap_is_the_mean_of_four(view):
    """Its four parts, each asked for alone."""
    parts = [value(f"gap_{split}_accuracy", view) for split in ("forget", "retain", "test")]
    mia = abs(mia_efficacy(view) - mia_efficacy(replace(view, role="retrained")))
    assert parts[0] > 0 and mia > 0
    assert reference.avg_gap(view) == pytest.approx((sum(parts) + mia) / 4)


def test_tug_of_war_with_membership_replaces_the_forget_term(view):
    mia = abs(mia_efficacy(view) - mia_efficacy(replace(view, role="retrained")))
    others = [1 - value(f"gap_{split}_accuracy", view) for split in ("retain", "test")]
    assert reference.tow_mia(view) == pytest.approx((1 - mia) * others[0] * others[1])


def test_distances_by_hand():
    """(1, 0) against (0, 1), nearly, and a pair that agrees: means of 1 and 0, sqrt 2 and 0."""
    tiny = 1e-300
    mine = {"forget": from_probabilities([[1, tiny], [0.3, 0.7]], [0, 0])}
    theirs = {"forget": from_probabilities([[tiny, 1], [0.3, 0.7]], [0, 0])}
    view = pair(mine, theirs)
    assert value("js_distance_forget", view) == pytest.approx(0.5)
    assert value("l2_distance_forget", view) == pytest.approx(np.sqrt(2) / 2)


@pytest.mark.parametrize("split", ["forget", "test"])
def test_distances_agree_with_scipy(split):
    p, q = np.random.default_rng(0).dirichlet(np.ones(5), size=(2, 30))
    labels = np.zeros(30, int)
    view = pair({split: from_probabilities(p, labels)}, {split: from_probabilities(q, labels)})
    js = jensenshannon(p, q, base=2, axis=1).mean()
    assert value(f"js_distance_{split}", view) == pytest.approx(js)
    l2 = np.sqrt(((p - q) ** 2).sum(axis=1)).mean()
    assert value(f"l2_distance_{split}", view) == pytest.approx(l2)


def test_completeness_is_agreement_right_or_wrong():
    """Choices 0 0 1 1 and 0 1 1 0 agree on the first and third, whatever the labels."""
    mine = {"forget": from_correct([1, 1, 0, 0])}
    theirs = {"forget": from_correct([1, 0, 0, 1])}
    assert reference.completeness(pair(mine, theirs)) == 0.5


@pytest.mark.parametrize("name", ["completeness", "js_distance_forget", "l2_distance_forget"])
def test_pairs_must_be_of_the_same_examples(name):
    mine = {"forget": random_outputs(20, 0)}
    for other in (random_outputs(19, 0), random_outputs(20, 1), random_outputs(20, 0, classes=6)):
        with pytest.raises(Unavailable, match="same forget examples"):
            value(name, pair(mine, {"forget": other}))


def test_every_kind_of_task_has_gaps_on_what_is_forgotten():
    """|m_u - m_r| of what the metric itself says of either model."""
    rng = np.random.default_rng(0)

    def painted(seed: int) -> dict:
        features = np.random.default_rng(seed).normal(seed, 1, (2, 30, 4))
        plain = random_outputs(30, 0)
        return {"forget": replace(plain, features=features[0], true_features=features[1],
                                  similarity=rng.random(30))}  # fmt: skip

    def answered(seed: int) -> dict:
        draw = np.random.default_rng(seed)
        targets = draw.integers(0, 9, (20, 5))
        log_probs = np.log(draw.random((20, 5))).astype(np.float32)
        guesses = np.where(draw.random((20, 5)) < 0.5, targets, 0)
        return {"forget": Outputs(-log_probs.mean(1), targets, log_probs=log_probs, guesses=guesses)}

    pictures, texts = (painted(1), painted(2)), (answered(1), answered(2))
    of = {"fid": pictures, "clip_score": pictures, "label_probability": texts, "token_accuracy": texts,
          "exact_memorisation": texts, "extraction_strength": texts}  # fmt: skip
    for name, (mine, theirs) in of.items():
        each = [METRICS[name].function(splits["forget"]) for splits in (mine, theirs)]
        assert value(f"gap_forget_{name}", pair(mine, theirs)) == pytest.approx(abs(each[0] - each[1]))
        assert each[0] != each[1]
