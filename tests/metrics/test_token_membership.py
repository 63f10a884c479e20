"""Attacks on token models, against scores worked out by hand, closed forms and scikit-learn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from mubench.metrics import METRICS, token_membership
from mubench.metrics.base import Outputs, Unavailable, View
from mubench.metrics.token_membership import (
    against_reference,
    gradient_norm,
    lowest,
    min_k,
    min_k_plus_plus,
    privleak,
    zlib_ratio,
)

ATTACKS = {name: m for name, m in METRICS.items() if m.function.__module__ == token_membership.__name__
           and m.scope == "model"}  # fmt: skip
attacks = pytest.mark.parametrize("metric", ATTACKS.values(), ids=ATTACKS)
ROLES = ("original", "unlearned", "retrained")


def tokens(log_probs, expected=None, deviation=None, **more) -> Outputs:
    """Examples whose label tokens have these log-probabilities, a list for each; padded with rubbish."""
    length = max(map(len, log_probs)) + 2
    targets = np.full((len(log_probs), length), -100)
    arrays = {}
    for name, rows in (
        ("log_probs", log_probs),
        ("expected_log_probs", expected),
        ("sd_log_probs", deviation),
    ):
        arrays[name] = np.full(targets.shape, -99.0, np.float32)  # no score may look at the padding
        for row, known in enumerate(rows or log_probs):
            arrays[name][row, : len(known)] = known
            targets[row, : len(known)] = 5
    losses = np.array([-np.mean(known) for known in log_probs], np.float32)
    return Outputs(losses, targets, **arrays, **more)


def drawn(count: int, seed: int, shift: float = 0.0) -> Outputs:
    """Answers of five tokens, each of log-probability N(shift - 10, 1), and what goes with them."""
    rng = np.random.default_rng(seed)
    log_probs = rng.normal(shift - 10, 1, (count, 5))
    return tokens(
        log_probs.tolist(), np.full((count, 5), -10.0).tolist(), np.ones((count, 5)).tolist(),
        compressed=rng.integers(35, 37, count).astype(np.int32),
        gradient_norms=np.exp(-shift + rng.normal(size=count)).astype(np.float32),
    )  # fmt: skip


@pytest.fixture
def view() -> View:
    """Three models on 60 forgotten and 80 unseen examples, and two shadows that saw neither."""

    def splits(shift: float, seed: int) -> dict[str, Outputs]:
        return {
            "forget": drawn(60, seed, shift),
            "test": drawn(80, seed + 1),
            "validation": drawn(40, seed + 2),
        }

    models = {role: splits(shift, 10 * place) for place, (role, shift) in
              enumerate(zip(ROLES, (1.0, 0.4, 0.0), strict=True))}  # fmt: skip
    return View("unlearned", models, others={"retrained": [splits(0.0, 50), splits(0.0, 60)]})


# The scores ------------------------------------------------------------------------------------


def test_the_lowest_two_fifths_are_averaged_and_at_least_one():
    """Of 5 tokens two, of 9 three (.4 x 9 = 3.6), of 2 one; larger values and padding do not matter."""
    values = [[-1.0, -4.0, -2.0, -3.0, -0.5], list(-np.arange(1.0, 10)), [-1.0, -0.25]]
    np.testing.assert_allclose(min_k(tokens(values)), [-3.5, -8.0, -1.0])


@pytest.mark.parametrize("share", [0.1, 0.4, 1.0])
def test_lowest_agrees_with_sorting_each_row_by_itself(share):
    rng = np.random.default_rng(0)
    values, sizes = rng.normal(size=(50, 12)), rng.integers(1, 13, 50)
    labels = np.arange(12) < sizes[:, None]
    labels = rng.permuted(labels, axis=1)  # label tokens need not stand first
    slow = [
        np.mean(sorted(row[on])[: max(1, int(share * on.sum()))])
        for row, on in zip(values, labels, strict=True)
    ]
    np.testing.assert_allclose(lowest(values, labels, share), slow)


def test_min_k_plus_plus_by_hand():
    """z of the tokens: (-1 + 2) / .5 = 2, (-4 + 2) / 2 = -1, (-3 + 2) / 1 = -1, and a sure one, 0.

    Of four tokens one counts, the lowest; of the second example's one token that one.
    """
    outputs = tokens([[-1.0, -4.0, -3.5, 0.0], [-3.0]], [[-2.0, -2.0, -2.0, 0.0], [-2.0]],
                     [[0.5, 2.0, 1.0, 0.0], [0.25]])  # fmt: skip
    np.testing.assert_allclose(min_k_plus_plus(outputs), [-1.5, -4.0])


def test_min_k_plus_plus_refuses_a_wrong_token_beyond_all_precision():
    outputs = tokens([[-200.0, -1.0]], [[0.0, -2.0]], [[0.0, 1.0]])
    with pytest.raises(Unavailable, match="sure of other tokens"):
        min_k_plus_plus(outputs)


def test_loss_by_compressed_size_by_norm_and_by_reference():
    outputs = tokens(
        [[-2.0, -4.0], [-1.0]], compressed=np.array([30, 10]), gradient_norms=np.array([2.0, 0.5])
    )
    np.testing.assert_allclose(zlib_ratio(outputs), [-0.1, -0.1])
    np.testing.assert_allclose(gradient_norm(outputs), [-2.0, -0.5])
    others = [tokens([[-6.0, -6.0], [-2.0]]), tokens([[-2.0, -2.0], [-1.0]])]
    np.testing.assert_allclose(against_reference(outputs, others), [4.0 - 3.0, 1.5 - 1.0])


# The attacks -----------------------------------------------------------------------------------


@attacks
def test_an_attack_gives_the_auc_of_its_score_its_interval_and_both_directions_of_the_leak(metric, view):
    found, name = metric.function(view), metric.name
    leak = name.replace("_auc", "_leak")
    assert list(found) == [name, f"{name}_low", f"{name}_high", leak]
    assert set(metric.goal) == {name, leak} and metric.summary.endswith(".") and len(metric.summary) < 110
    assert 0.5 < found[name] < 1 and found[f"{name}_low"] < found[name] < found[f"{name}_high"]
    assert found[leak] == pytest.approx(2 * found[name] - 1)
    assert found == metric.function(view) and all(type(value) is float for value in found.values())
    swapped = {"forget": view.outputs("test"), "test": view.outputs("forget")}
    others = [{"forget": s["test"], "test": s["forget"]} for s in view.others["retrained"]]
    turned = View("unlearned", {"unlearned": swapped}, others={"retrained": others})
    over = metric.function(turned)
    assert over[name] == pytest.approx(1 - found[name]) and over[leak] == pytest.approx(found[leak])


@attacks
def test_an_untrained_model_has_half_in_its_interval(metric, view):
    fresh = {"forget": drawn(60, 100), "test": drawn(80, 101)}
    found = metric.function(replace(view, models={"unlearned": fresh}))
    assert found[f"{metric.name}_low"] < 0.5 < found[f"{metric.name}_high"]


@pytest.mark.parametrize("name", ["mia_min_k_auc", "mia_min_k_plus_plus_auc"])
def test_one_token_answers_attain_the_closed_form(name):
    """One token each, N(-9.3, 1) of members and N(-10, 1) of others: AUC = Phi(.7 / sqrt 2)."""
    rng = np.random.default_rng(3)
    members, others = rng.normal(-9.3, 1, (2000, 1)), rng.normal(-10, 1, (2500, 1))
    splits = {
        split: tokens(values.tolist(), np.full(values.shape, -10.0).tolist(), np.ones(values.shape).tolist())
        for split, values in (("forget", members), ("test", others))
    }
    found = METRICS[name].function(View("unlearned", {"unlearned": splits}))
    assert found[f"{name}_low"] < norm.cdf(0.7 / np.sqrt(2)) < found[f"{name}_high"]


def test_the_reference_takes_away_what_makes_examples_hard():
    """Losses differ by N(0, 3) from example to example, and by 1 for members: alone they hide it."""
    rng = np.random.default_rng(4)
    hard = {split: rng.normal(20, 3, (400, 1)) for split in ("forget", "test")}

    def model(gain: float) -> dict[str, Outputs]:
        noise = {split: values + 0.3 * rng.normal(size=values.shape) for split, values in hard.items()}
        return {
            split: tokens((gain * (split == "forget") - values).tolist()) for split, values in noise.items()
        }

    view = View("unlearned", {"unlearned": model(1.0)}, others={"retrained": [model(0.0)] * 1})
    assert METRICS["mia_auc"].function(view)["mia_auc"] < 0.65
    assert METRICS["mia_reference_auc"].function(view)["mia_reference_auc"] > 0.95


@attacks
def test_a_test_set_of_another_kind_gives_way_to_what_was_held_out(metric, view):
    def foreign(splits):
        return {**splits, "test": replace(splits["test"], foreign=np.array([True]))}

    models = {role: foreign(splits) for role, splits in view.models.items()}
    asked = replace(view, models=models)

    def moved(splits):
        return {**splits, "test": splits["validation"]}

    held_out = replace(
        view,
        models={role: moved(splits) for role, splits in view.models.items()},
        others={"retrained": [moved(splits) for splits in view.others["retrained"]]},
    )
    assert metric.function(asked) == metric.function(held_out) != metric.function(view)
    bare = {role: {k: v for k, v in splits.items() if k != "validation"} for role, splits in models.items()}
    with pytest.raises(Unavailable, match=r"of another kind .* task\.validation=10"):
        metric.function(replace(view, models=bare))
    with pytest.raises(Unavailable, match=r"of another kind .* task\.validation=10"):
        METRICS["mia_auc"].function(replace(view, models=bare))


@attacks
@pytest.mark.parametrize("split", ["forget", "test"])
def test_missing_and_diverged_predictions_make_it_unavailable(metric, view, split):
    splits = view.models["unlearned"]
    whole = splits[split]
    bad = {field: np.where(np.arange(len(whole)) == 7, np.nan, 1.0) for field in ("losses", "gradient_norms")}
    bad |= {f: np.where(np.arange(len(whole))[:, None] == 7, np.nan, getattr(whole, f))
            for f in ("log_probs", "expected_log_probs", "sd_log_probs")}  # fmt: skip
    bare = Outputs(whole.losses, np.zeros(len(whole), int))
    for outputs, words in ((replace(whole, **bad), "1 of .* not finite"), (bare, "hold no"), (None, split)):
        changed = (
            {**splits, split: outputs}
            if outputs is not None
            else {k: v for k, v in splits.items() if k != split}
        )
        if outputs is bare and metric.name == "mia_reference_auc":
            continue  # it reads losses only
        with pytest.raises(Unavailable, match=words):
            metric.function(replace(view, models={"unlearned": changed}))


def test_the_reference_asks_for_shadows_that_are_missing(view):
    with pytest.raises(Unavailable, match="shadow"):
        METRICS["mia_reference_auc"].function(replace(view, others={}))


# privleak --------------------------------------------------------------------------------------


def test_privleak_is_the_relative_distance_of_one_minus_auc(view):
    def area(role: str) -> float:
        scores = [min_k(view.outputs(split, role)) for split in ("forget", "test")]
        return roc_auc_score(np.repeat([1, 0], [60, 80]), np.concatenate(scores))

    mine, theirs = 1 - area("unlearned"), 1 - area("retrained")
    assert privleak(view) == pytest.approx(100 * (mine / theirs - 1))
    assert privleak(view) < 0  # it still knows D_f
    assert METRICS["privleak"].goal == "match" and METRICS["privleak"].needs == {"retrained"}
    itself = replace(view, models={**view.models, "unlearned": view.models["retrained"]})
    assert privleak(itself) == 0


def test_privleak_by_hand():
    """AUC 3/4 of the unlearned model, 1/2 of the retrained one: 100 (1/4 - 1/2) / (1/2) = -50."""

    def splits(members, others):
        return {"forget": tokens([[m] for m in members]), "test": tokens([[o] for o in others])}

    models = {
        "unlearned": splits([-1.0, -3.0], [-2.0, -4.0]),
        "retrained": splits([-1.0, -4.0], [-2.0, -3.0]),
    }
    assert privleak(View("unlearned", models)) == pytest.approx(-50)
    models["unlearned"] = splits([-4.0, -3.0], [-2.0, -1.0])  # pushed below all that it never saw
    assert privleak(View("unlearned", models)) == pytest.approx(100)
    models["retrained"] = splits([-1.0, -2.0], [-3.0, -4.0])
    with pytest.raises(Unavailable, match="is 0: no ratio"):
        privleak(View("unlearned", models))
    with pytest.raises(Unavailable, match="no retrained model"):
        privleak(View("unlearned", {"unlearned": models["unlearned"]}))
