"""On models that saw nothing no attack finds anything: its interval contains .5."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from mubench.metrics import METRICS, membership
from mubench.metrics.base import Cell, Outputs, View

SIZES = {"forget": 150, "retain": 400, "test": 200, "validation": 120}
SEEDS = 20  # untrained models, each attacked once
CLASSES, TOKENS, VOCABULARY = 4, 6, 12


def inputs(seed: int):
    """Examples of one distribution in every split, with labels that say nothing of them."""
    rng = np.random.default_rng(seed)
    return {name: (rng.normal(size=(n, 8)), rng.integers(CLASSES, size=n)) for name, n in SIZES.items()}


def untrained(data, seed: int):
    """What a network of one hidden layer with random weights says of them: as sure as its seed has it."""
    rng = np.random.default_rng(seed)
    first, second = rng.normal(size=(8, 32)), rng.normal(size=(32, CLASSES))

    def outputs(x, targets) -> Outputs:
        logits = np.maximum(x @ first, 0) @ second / 4
        losses = np.logaddexp.reduce(logits, axis=1) - logits[np.arange(len(x)), targets]
        return Outputs(losses.astype(np.float32), targets, logits.astype(np.float32))

    return {name: outputs(*part) for name, part in data.items()}


def untrained_tokens(seed: int):
    """What a token model with random scores says of answers of 1 to 6 tokens."""
    rng = np.random.default_rng(seed)

    def outputs(n: int) -> Outputs:
        labels = np.arange(TOKENS) < rng.integers(1, TOKENS + 1, size=(n, 1))
        targets = np.where(labels, rng.integers(VOCABULARY, size=(n, TOKENS)), -100)
        scores = rng.normal(size=(n, TOKENS, VOCABULARY))
        log_p = scores - np.logaddexp.reduce(scores, axis=2, keepdims=True)
        own = np.where(labels, np.take_along_axis(log_p, np.maximum(targets, 0)[..., None], 2)[..., 0], 0)
        mean = (np.exp(log_p) * log_p).sum(axis=2)
        sd = np.sqrt((np.exp(log_p) * log_p**2).sum(axis=2) - mean**2)
        return Outputs(
            -own.sum(axis=1) / labels.sum(axis=1), targets, log_probs=own,
            expected_log_probs=np.where(labels, mean, 0), sd_log_probs=np.where(labels, sd, 0),
            compressed=rng.integers(10, 40, n), gradient_norms=rng.gamma(3, size=n),
        )  # fmt: skip

    return {name: outputs(n) for name, n in SIZES.items()}


def view_of(seed: int, shadows: int = 6) -> View:
    data = inputs(seed)
    models = [untrained(data, 100 * seed + place) for place in range(2 * shadows + 1)]
    others = {"original": models[1 : shadows + 1], "retrained": models[shadows + 1 :]}
    return View("unlearned", {"unlearned": models[0]}, seed=seed, others=others)


def cell_of(seed: int, seeds: int = 6) -> Cell:
    data = inputs(seed)
    models = [untrained(data, 100 * seed + place) for place in range(2 * seeds)]
    return Cell(models[:seeds], models[seeds:], seed)


def intervals(metrics, argument) -> dict[str, tuple[float, float]]:
    """Every interval that metrics give, by the value's name."""
    found = {}
    for metric in metrics:
        values = metric.function(argument)
        if isinstance(values, dict):
            found |= {name: (values[f"{name}_low"], values[f"{name}_high"])
                      for name in values if f"{name}_low" in values}  # fmt: skip
    return found


def attacks(scope: str, reads: set[str]):
    """The metrics that give an AUC's interval: membership.py's and whoever's else."""
    found = [
        m for m in METRICS.values() if m.scope == scope and m.reads in reads and not isinstance(m.goal, str)
    ]
    return [
        m for m in found if m.needs <= {"shadows", "retrained"} and any("_auc" in name for name in m.goal)
    ]


def covered(metrics, make) -> dict[str, int]:
    """How many of the untrained models each interval finds nothing in."""
    counts: dict[str, int] = {}
    for seed in range(SEEDS):
        for name, (low, high) in intervals(metrics, make(seed)).items():
            counts[name] = counts.get(name, 0) + (low <= 0.5 <= high)
    return counts


CLASSIFIERS = attacks("model", {"losses", "classes"})
TOKEN_MODELS = attacks("model", {"tokens", "gradients"})
CELLS = attacks("cell", {"losses", "classes"})


def test_the_attacks_are_all_there():
    names = {metric.name for metric in (*CLASSIFIERS, *TOKEN_MODELS, *CELLS)}
    assert names >= {
        "mia_auc", "mia_confidence_auc", "mia_entropy_auc", "mia_modified_entropy_auc", "lira",
        "lira_offline", "rmia", "ulira", "mia_min_k_auc", "mia_min_k_plus_plus_auc", "mia_zlib_auc",
        "mia_gradnorm_auc",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("metrics", "make"),
    [
        (CLASSIFIERS, view_of),
        (CELLS, cell_of),
        ([m for m in TOKEN_MODELS if not m.needs],
         lambda seed: View("unlearned", {"unlearned": untrained_tokens(seed)}, seed=seed)),
    ],
    ids=["classifiers", "cells", "tokens"],
)  # fmt: skip
def test_intervals_contain_half(metrics, make):
    """95 % of 20: fewer than 16 happens once in 400 times for each of a dozen attacks; seeds are fixed."""
    counts = covered(metrics, make)
    assert len(counts) >= len(metrics) > 0
    assert min(counts.values()) >= 16, counts


def test_attacks_without_an_interval_guess():
    """Efficacy: how many of D_f the SVC calls non-member; logistic regression: how many it gets right.

    Over ten untrained models the share of a fair coin, within a binomial interval of 99.9 %.
    """
    found = [view_of(seed, shadows=1) for seed in range(10)]
    for values, tries in (
        ([membership.mia_efficacy(view) for view in found], SIZES["forget"]),
        ([membership.mia_lr(view)["mia_lr"] for view in found], 2 * SIZES["forget"]),
    ):
        test = binomtest(round(float(np.mean(values)) * tries), tries)
        low, high = test.proportion_ci(0.999)
        assert low <= 0.5 <= high, values


def test_a_shadow_attack_on_an_untrained_model_by_trained_shadows_that_saw_neither_set():
    """Retrained models know the classes, D_f and test alike; the untrained model knows nothing of either."""
    data = inputs(1)
    rng = np.random.default_rng(0)

    def trained(targets) -> Outputs:
        logits = rng.normal(size=(len(targets), CLASSES))
        logits[np.arange(len(targets)), targets] += 3
        return Outputs(np.ones(len(targets)), targets, logits)

    shadows = [{name: trained(targets) for name, (_, targets) in data.items()} for _ in range(6)]
    view = View("unlearned", {"unlearned": untrained(data, 7)}, others={"retrained": shadows})
    for name in ("lira_offline", "rmia"):
        found = METRICS[name].function(view)
        assert found[f"{name}_auc_low"] <= 0.5 <= found[f"{name}_auc_high"]
