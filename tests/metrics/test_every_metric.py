"""What holds for every metric, whoever adds one."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from predictions_by_hand import random_outputs

from mubench.metrics import METRICS, f1, gaps, lira, membership, overall, performance, reference, rmia
from mubench.metrics.base import Unavailable, View

GOALS = {"higher", "lower", "match"}
MODULES = (performance, f1, overall, membership, reference, gaps, lira, rmia)
OURS = {name: m for name, m in METRICS.items()
        if m.function.__module__ in {module.__name__ for module in MODULES}
        and m.reads in ("losses", "classes", "positives")}  # fmt: skip
SPLIT = [m for m in OURS.values() if m.scope == "split"]
WIDE = [m for m in OURS.values() if m.scope != "split"]
named = pytest.mark.parametrize("metric", OURS.values(), ids=OURS)
wide = pytest.mark.parametrize("metric", WIDE, ids=lambda m: m.name)
split = pytest.mark.parametrize("metric", SPLIT, ids=lambda m: m.name)
# Which splits each metric reads, said apart from the code: a missing one must be missed.
READS = {
    "overall": {"test", "forget"}, "overall_v1": {"test", "forget"},
    "knowledge_gap": {"retain", "forget"}, "zrf": {"forget"}, "zrf_noise": {"forget"},
    "mia_efficacy": {"retain", "test", "forget"}, "completeness": {"forget"},
    **{name: {"test", "forget"} for name in ("mia_auc", "mia_confidence_auc", "mia_entropy_auc",
       "mia_modified_entropy_auc", "mia_tpr_1", "mia_tpr_01", "mia_lr", "lira_offline", "rmia")},
    **{name: {"forget"} for name in ("lira", "lira_tpr_1", "lira_tpr_01")},
    **{name: {"retain", "test", "forget"} for name in ("avg_gap", "ret_dev", "tow")},
    "tow_mia": {"retain", "test", "forget"},
    **{f"gap_{s}_{q}": {s} for s in ("test", "forget", "retain", "validation")
       for q in ("accuracy", "loss")},
    **{f"gap_{s}_{q}": {s} for s in ("test", "forget") for q in ("macro_f1", "micro_f1")},
    **{f"{kind}_distance_{s}": {s} for kind in ("js", "l2") for s in ("forget", "test")},
}  # fmt: skip


def values(result) -> dict[str, float]:
    return result if isinstance(result, dict) else {"value": result}


def changed(view: View, role: str, split_name: str, outputs) -> View:
    """The same view with one role's split replaced, or removed where `outputs` is None."""
    splits = {**view.models[role], split_name: outputs}
    if outputs is None:
        del splits[split_name]
    return replace(view, models={**view.models, role: splits})


def test_the_table_of_splits_names_every_metric():
    assert set(READS) == {metric.name for metric in WIDE}


@named
def test_declares_itself(metric):
    goals = {metric.goal} if isinstance(metric.goal, str) else set(metric.goal.values())
    assert goals <= GOALS and goals
    assert metric.summary.endswith((".", "]", ":")) and len(metric.summary) <= 100
    assert metric.needs <= {"original", "retrained", "incompetent", "shadows"}
    assert metric.scope != "relative" or "retrained" in metric.needs


@wide
def test_gives_finite_python_floats_that_the_seed_decides(metric, view):
    first, again = values(metric.function(view)), values(metric.function(view))
    assert first == again
    assert all(type(v) is float and np.isfinite(v) for v in first.values())
    if isinstance(metric.goal, dict):
        assert set(metric.goal) <= set(first)


@wide
def test_does_not_change_its_arguments(metric, view):
    kept = {(r, s): (o.losses.copy(), o.logits.copy()) for r, splits in view.models.items()
            for s, o in splits.items()}  # fmt: skip
    metric.function(view)
    for (role, name), (losses, logits) in kept.items():
        outputs = view.models[role][name]
        assert np.array_equal(outputs.losses, losses) and np.array_equal(outputs.logits, logits)


@wide
def test_a_missing_or_empty_split_makes_it_unavailable(metric, view):
    empty = random_outputs(0, 0)
    for name in ("test", "forget", "retain", "validation"):
        for outputs in (None, empty):
            asked = changed(view, "unlearned", name, outputs)
            if name in READS[metric.name]:
                with pytest.raises(Unavailable, match=name):
                    metric.function(asked)
            else:
                metric.function(asked)


@wide
def test_a_missing_role_makes_it_unavailable(metric, view):
    for role in ("original", "retrained", "incompetent"):
        asked = replace(view, models={r: s for r, s in view.models.items() if r != role})
        if role in metric.needs:
            with pytest.raises(Unavailable, match=f"no {role} model"):
                metric.function(asked)
        else:
            metric.function(asked)


@wide
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_diverged_predictions_make_it_unavailable(metric, view, bad):
    """One bad row among 1,200 is enough: a mean over the others would be another quantity."""
    for name in sorted(READS[metric.name]):
        outputs = view.models["unlearned"][name]
        losses, logits = outputs.losses.copy(), outputs.logits.copy()
        losses[7], logits[7, 1] = bad, bad
        with pytest.raises(Unavailable, match=r"1 of \d+ .* not finite"):
            metric.function(changed(view, "unlearned", name, replace(outputs, losses=losses, logits=logits)))


@wide
def test_only_what_asks_for_shadow_models_reads_them(metric, view):
    asked = replace(view, others={})
    if "shadows" in metric.needs:
        with pytest.raises(Unavailable, match="no shadow models"):
            metric.function(asked)
    else:
        assert values(metric.function(asked)) == values(metric.function(view))


@split
def test_a_split_metric_refuses_empty_and_diverged(metric):
    outputs = random_outputs(20, 0)
    assert type(metric.function(outputs)) is float
    bad = replace(outputs, losses=outputs.losses * np.nan, logits=outputs.logits * np.nan)
    for refused in (random_outputs(0, 0), bad):
        with pytest.raises(Unavailable):
            metric.function(refused)


@wide
@pytest.mark.parametrize("role", ["original", "retrained", "unlearned"])
def test_reads_its_own_role(metric, view, role):
    """Metrics of a model answer for each role; the three models differ on D_f, so do the values."""
    if metric.scope == "model":
        metric.function(replace(view, role=role))
    elif role == "unlearned" and "forget" in READS[metric.name]:
        itself = replace(view, models={**view.models, "unlearned": view.models["retrained"]})
        best = 0.0 if metric.goal == "lower" else 1.0
        assert metric.function(itself) == pytest.approx(best, abs=1e-12)
        assert metric.function(view) != pytest.approx(best, abs=1e-3)


def test_importing_metrics_is_cheap():
    """numpy only: scikit-learn and scipy cost seconds, torch more."""
    code = ("import sys, mubench.metrics; "
            "print({'sklearn', 'scipy', 'torch'} & set(sys.modules))")  # fmt: skip
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "set()"


def test_large_sets_take_seconds():
    """D_f of 5,000 and test of 10,000; the bound is loose for a busy machine."""
    models = {"unlearned": {"forget": random_outputs(5000, 0), "retain": random_outputs(20000, 1),
                            "test": random_outputs(10000, 2)}}  # fmt: skip
    view = View("unlearned", models)
    membership.mia_auc(replace(view, models={"unlearned": {s: random_outputs(50, 0) for s in
                                                           ("forget", "test")}}))  # fmt: skip
    for metric in (membership.mia_auc, membership.mia_efficacy, membership.mia_lr):
        start = time.perf_counter()
        metric(view)
        assert time.perf_counter() - start < 10
