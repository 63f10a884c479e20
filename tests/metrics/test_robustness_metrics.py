"""What metrics read off the curves of attacks, by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mubench.errors import UsageError
from mubench.metrics import METRICS, goal_of, robustness
from mubench.metrics.base import Unavailable, View
from mubench.scoring import chosen

STEPS = [0, 1, 2, 4, 8]
ATTACKS = ("relearn", "quantise", "noise", "connectivity")
OURS = [metric for metric in METRICS.values() if metric.attack]


def view(role="unlearned", **curves) -> View:
    """A view whose curves are given as role__attack__series=columns."""
    found: dict = {}
    for place, columns in curves.items():
        owner, attack, series = place.split("__")
        found.setdefault(owner, {}).setdefault(attack, {})[series] = columns
    return View(role, {}, curves=found)


def relearning(name, values) -> dict:
    return {"steps": STEPS, f"forget_{name}": values, "forget_loss": [5, 4, 3, 2, 1]}


def value(name, given, key=None) -> float:
    result = METRICS[name].function(given)
    return result[key or name] if isinstance(result, dict) else result


@pytest.mark.parametrize(
    ("values", "steps"),
    [([0.95, 0.2, 0.2, 0.2, 0.2], 0), ([0.5, 0.6, 0.94, 0.951, 1.0], 4), ([0.5, 0.5, 0.95, 0.2, 0.2], 2)],
)
def test_relearning_ends_where_the_score_is_within_a_twentieth_of_the_originals(values, steps):
    given = view(
        unlearned__relearn__test=relearning("accuracy", values),
        original__relearn__test=relearning("accuracy", [1.0, 0.1, 0.1, 0.1, 0.1]),
    )
    assert value("relearn_test_steps", given) == steps
    assert value("relearn_test", given, "relearn_test_score") == values[-1]
    assert value("relearn_test", given, "relearn_test_loss") == 1


def test_tokens_have_their_accuracy_and_pictures_their_loss():
    given = view(
        unlearned__relearn__forget=relearning("token_accuracy", [0.1, 0.2, 0.6, 0.7, 0.7]),
        original__relearn__forget=relearning("token_accuracy", [0.6] * 5),
    )
    assert value("relearn_forget_steps", given) == 2
    pictures = {"steps": STEPS, "forget_loss": [3.0, 2.2, 2.1, 2.0, 1.9]}
    given = view(
        unlearned__relearn__forget=pictures,
        original__relearn__forget={**pictures, "forget_loss": [2.0, 9, 9, 9, 9]},
    )
    assert value("relearn_forget_steps", given) == 2
    assert value("relearn_forget", given, "relearn_forget_score") == 1.9


def test_a_score_that_does_not_come_back_is_no_number():
    given = view(
        unlearned__relearn__retain=relearning("accuracy", [0.1] * 5),
        original__relearn__retain=relearning("accuracy", [1.0] * 5),
    )
    with pytest.raises(Unavailable, match="not within 5% of the original's after 8 steps"):
        value("relearn_retain_steps", given)


def test_rounded_weights_are_found_by_their_bits():
    columns = {"bits": [32, 4], "forget_accuracy": [0.1, 0.8], "retain_accuracy": [0.9, 0.7],
               "test_accuracy": [0.8, 0.6], "forget_loss": [2.0, 0.5]}  # fmt: skip
    given = view(unlearned__quantise__weights=columns)
    assert METRICS["int4"].function(given) == {
        "int4_forget_score": 0.8, "int4_retain_score": 0.7, "int4_test_score": 0.6, "int4_forget_loss": 0.5,
    }  # fmt: skip
    with pytest.raises(Unavailable, match="not rounded to 8 bits"):
        METRICS["int8"].function(given)


def test_residual_knowledge_is_a_ratio_of_what_is_recognised_under_noise():
    def noise(*shares):
        return {"sigma": [0, 0.1, 1], "recognised": shares, "forget_loss": [1, 2, 3]}

    given = view(unlearned__noise__forget=noise(0, 0.9, 0.3), retrained__noise__forget=noise(1, 0.6, 0.2))
    assert value("noise_recognised", given) == pytest.approx(0.6)
    assert value("residual_knowledge", given) == pytest.approx(1.5)
    assert value("residual_knowledge", replace(given, role="retrained")) == 1
    none = view(unlearned__noise__forget=noise(0, 0.9, 0.3), retrained__noise__forget=noise(1, 0, 0))
    with pytest.raises(Unavailable, match="recognises nothing"):
        value("residual_knowledge", none)
    with pytest.raises(Unavailable, match="has no recognised"):
        value("noise_recognised", view(unlearned__noise__forget={"sigma": [0, 1], "forget_loss": [1, 2]}))


def test_a_mixture_is_judged_at_the_largest_share_that_serves_d_r():
    columns = {"t": [0, 0.25, 0.5, 0.75, 1], "retain_accuracy": [0.2, 0.94, 0.96, 0.5, 1.0],
               "forget_accuracy": [0, 0.1, 0.4, 0.6, 1], "forget_loss": [9, 8, 7, 6, 5]}  # fmt: skip
    found = METRICS["mix"].function(view(unlearned__connectivity__original=columns))
    assert found == {"mix_forget_score": 0.4, "mix_forget_loss": 7.0, "mix_share": 0.5}
    ruined = {**columns, "retain_accuracy": [0, 0, 0, 0, 1.0]}
    found = METRICS["mix"].function(view(unlearned__connectivity__original=ruined))
    assert found == {"mix_forget_score": 1.0, "mix_forget_loss": 5.0, "mix_share": 0.0}


def test_a_barrier_is_the_height_above_the_chord_of_losses():
    columns = {"t": [0, 0.5, 1], "forget_loss": [1, 4, 3], "retain_loss": [2, 1, 2], "test_loss": [0, 0.5, 1]}
    given = view(unlearned__connectivity__retrained=columns)
    assert METRICS["barrier_retrained"].function(given) == {
        "barrier_retrained_forget": 2.0, "barrier_retrained_retain": 0.0, "barrier_retrained_test": 0.0,
    }  # fmt: skip


@pytest.mark.parametrize("metric", OURS, ids=lambda metric: metric.name)
def test_each_has_a_goal_for_its_numbers_and_says_why_there_are_none(metric):
    goals = metric.goal if isinstance(metric.goal, dict) else {metric.name: metric.goal}
    assert all(goal_of(name) == goal for name, goal in goals.items())
    assert metric.attack in ATTACKS and metric.source and metric.summary.endswith((".", "]"))
    with pytest.raises(Unavailable, match="there is no curve"):
        metric.function(View("unlearned", {}))
    told = {attack: dict.fromkeys(("weights", *robustness.SOURCES, "original", "retrained"), "it burned")
            for attack in ATTACKS}  # fmt: skip
    with pytest.raises(Unavailable, match="it burned"):
        metric.function(View("unlearned", {}, curves={"unlearned": told, "retrained": told}))


def test_a_number_that_is_missing_makes_the_metric_so():
    broken = relearning("accuracy", [0.1, None, 0.2, 0.3, 1.0])
    given = view(unlearned__relearn__test=broken, original__relearn__test=relearning("accuracy", [1.0] * 5))
    for name in ("relearn_test_steps", "relearn_test"):
        with pytest.raises(Unavailable, match="forget_accuracy is not finite at 1 of 5 points"):
            METRICS[name].function(given)


def test_they_are_asked_for_where_their_attack_is_made():
    gives = frozenset({"losses", "classes"})
    assert not [metric for metric in chosen(["all"], gives) if metric.attack]
    assert {metric.attack for metric in chosen(["all"], gives, ["noise"])} == {"", "noise"}
    with pytest.raises(UsageError, match="metric 'int4' reads what the attack 'quantise' leaves"):
        chosen(["int4"], gives)
    assert [metric.name for metric in chosen(["int4"], gives, ["quantise"])] == ["int4"]
