"""What is stored of token models for attacks: moments of probabilities, sizes of texts, gradient norms."""

from __future__ import annotations

import json
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import ALONE, FAST, mubench

from mubench import catalog, divergence, evaluation, sensitivity
from mubench.adapters.lora import LoRA
from mubench.metrics import METRICS
from mubench.metrics.base import Unavailable, View
from mubench.modalities import tokens
from mubench.plan import Planner
from mubench.progress import Reporter
from mubench.workbench import Workbench, lay_out

QUIET = Reporter(quiet=True)


@pytest.fixture(scope="module")
def bench(tmp_path_factory) -> Workbench:
    """TOFU's twin, a tenth of its training set held out, on an untrained network of few weights."""
    words = ["task=mini/tofu", "task.validation=10", f"out={tmp_path_factory.mktemp('out')}",
             "trainer.device=cpu", "evaluation.batch_size=7"]  # fmt: skip
    (cell,) = Planner(catalog.config_dirs()).cells(words, multirun=False)
    torch.set_num_threads(1)
    return lay_out(cell, QUIET)


@pytest.fixture(scope="module")
def model(bench) -> torch.nn.Module:
    return bench.spec.fresh(0).eval()


# Moments ---------------------------------------------------------------------------------------


def test_moments_are_those_of_the_softmax_at_label_places_only(monkeypatch):
    """Against sums over the vocabulary in double precision; parts of any size give the same."""
    scores = 3 * torch.randn(4, 5, 50, generator=torch.Generator().manual_seed(0))
    labels = torch.rand(4, 5, generator=torch.Generator().manual_seed(1)) < 0.6
    p = scores.double().softmax(-1)
    mean = (p * p.log()).sum(-1)
    deviation = ((p * p.log() ** 2).sum(-1) - mean**2).sqrt()
    for values in (1, 150, 10**6):
        monkeypatch.setattr(divergence, "VALUES", values)
        found = divergence.log_prob_moments(scores, labels)
        for ours, direct in zip(found, (mean, deviation), strict=True):
            torch.testing.assert_close(ours.double(), direct.where(labels, 0.0), rtol=1e-5, atol=1e-6)


def test_moments_of_two_tokens_by_hand():
    """p = 3/4, 1/4: mean .75 ln .75 + .25 ln .25, deviation sqrt(.75 x .25) ln 3."""
    found = divergence.log_prob_moments(torch.tensor([[[3.0, 1.0]]]).log(), torch.tensor([[True]]))
    assert found[0].item() == pytest.approx(0.75 * np.log(0.75) + 0.25 * np.log(0.25))
    assert found[1].item() == pytest.approx(np.sqrt(0.1875) * np.log(3))


@pytest.mark.parametrize("gap", [20.0, 60.0, 500.0, float("inf")])
def test_a_nearly_sure_token_has_a_spread_of_its_own(gap):
    """q = exp(-gap) beside 1: deviation sqrt(q) gap, where E x^2 - (E x)^2 would cancel."""
    found = divergence.log_prob_moments(torch.tensor([[[0.0, -gap]]]), torch.tensor([[True]]))
    closed = np.exp(-gap / 2) * gap if gap < 100 else 0.0
    assert found[1].item() == pytest.approx(closed, rel=1e-3, abs=1e-30)
    assert found[0].item() == pytest.approx(-np.exp(-gap) * gap if gap < 100 else 0.0, rel=1e-3, abs=1e-30)


def test_a_prediction_holds_moments_and_sizes_of_every_row(bench, model):
    outputs = bench.predict(model, "validation")
    columns, tokenizer = bench.columns["validation"], tokens.load(Path(bench.spec.input.encoder))
    texts = tokenizer.batch_decode([t[t != -100] for t in columns.targets], skip_special_tokens=True)
    assert outputs.compressed.tolist() == [len(zlib.compress(text.strip().encode())) for text in texts]
    assert "invented" not in texts[0] and len(texts[0]) > 10  # words, not ids
    labels = outputs.targets != -100
    for array in (outputs.log_probs, outputs.expected_log_probs, outputs.sd_log_probs):
        assert array.shape == outputs.targets.shape and array.dtype == np.float32
        assert np.all(array[~labels] == 0) and np.all(array[labels] != 0)
    batch = bench.modality.prepare(
        columns.take(torch.tensor([3]), torch.device("cpu")), bench.spec.input, None
    )
    with torch.no_grad():
        p = bench.modality.logits(model, batch)[0].double().softmax(-1).numpy()
    own = outputs.expected_log_probs[3][labels[3]]
    np.testing.assert_allclose(own, (p * np.log(p)).sum(-1), rtol=1e-4)


# Gradient norms --------------------------------------------------------------------------------


def by_autograd(bench: Workbench, model: torch.nn.Module, row: int) -> float:
    """The norm of one example's gradient by all weights, by plain backpropagation."""
    columns = bench.columns["validation"].take(torch.tensor([row]), torch.device("cpu"))
    batch = bench.modality.prepare(columns, bench.spec.input, None)
    loss = bench.modality.losses(bench.modality.logits(model, batch), batch.targets).sum()
    weights = list(model.parameters())
    return float(torch.cat([g.flatten() for g in torch.autograd.grad(loss, weights)]).norm())


def test_norms_are_those_of_each_examples_whole_gradient(bench, model):
    held = next(iter(model.parameters())).requires_grad_(False)
    found = sensitivity.norms(bench, "validation", np.array([5, 2, 9]), model)
    assert not held.requires_grad and found.dtype == np.float32
    held.requires_grad_(True)
    np.testing.assert_allclose(found, [by_autograd(bench, model, row) for row in (5, 2, 9)], rtol=1e-4)
    assert all(weight.grad is None for weight in model.parameters())


def test_norms_under_an_adapter_are_by_the_models_own_weights(bench):
    """B = 0 at first: the model is the original, and so are its norms."""
    rows, plain = np.array([1, 4]), bench.spec.fresh(0).eval()
    under = replace(bench, adapter=LoRA(rank=2))
    attached = under.adapter.attach(bench.spec.fresh(0), 0, 0, QUIET).eval()
    found = sensitivity.norms(under, "validation", rows, attached)
    np.testing.assert_allclose(found, sensitivity.norms(bench, "validation", rows, plain), rtol=1e-4)
    moving = [name for name, weight in attached.named_parameters() if weight.requires_grad]
    assert moving and all(".lora_" in name for name in moving)


def test_norms_are_computed_of_the_forget_set_and_unseen_examples_and_kept(bench, model, tmp_path):
    rows = evaluation.rows_of(bench)
    splits = {name: bench.predict(model, name, rows[name]) for name in rows}
    found = sensitivity.complete(bench, splits, rows, lambda: model, tmp_path)
    have = {name for name, outputs in found.items() if outputs.gradient_norms is not None}
    assert have == {"forget", "validation"}  # the test set is real authors
    again = sensitivity.complete(bench, splits, rows, lambda: pytest.fail("asked again"), tmp_path)
    for name in have:
        assert np.array_equal(found[name].gradient_norms, again[name].gradient_norms)
        assert len(found[name].gradient_norms) == len(rows[name])
    known = METRICS["mia_gradnorm_auc"].function(View("unlearned", {"unlearned": found}))
    assert known["mia_gradnorm_auc_low"] < 0.5 < known["mia_gradnorm_auc_high"]  # untrained
    alone = {name: outputs for name, outputs in splits.items() if name != "validation"}
    untouched = sensitivity.complete(bench, alone, rows, lambda: pytest.fail("no use for it"), None)
    assert untouched == alone
    with pytest.raises(Unavailable, match=r"task\.validation=10"):
        METRICS["mia_gradnorm_auc"].function(View("unlearned", {"unlearned": untouched}))


# The command -----------------------------------------------------------------------------------


def test_runs_attack_what_was_held_out_and_say_so_where_nothing_was(tmp_path):
    """TOFU's twin has no test set of its own kind."""
    attacks = (
        "[mia_auc,mia_min_k_auc,mia_min_k_plus_plus_auc,mia_zlib_auc,mia_gradnorm_auc,mia_reference_auc]"
    )
    words = ("run", "task=mini/tofu", "method=neggrad", f"evaluation.metrics={attacks}", ALONE, *FAST)
    for name, more in (("with", "task.validation=10"), ("without", "task.validation=0")):
        done = mubench(*words, more, f"out={tmp_path / name}")
        assert done.status == 0, done.err
    records = {path.parts[len(tmp_path.parts)]: json.loads(path.read_text())
               for path in tmp_path.glob("*/runs/**/record.json")}  # fmt: skip
    for role in ("original", "unlearned"):
        values = records["with"]["metrics"][role]
        assert all(0 <= values[name] <= 1 for name in values if not name.startswith("mia_reference"))
        assert len(values) == 4 * 5 + 2 and values["mia_reference_auc"] is None
        assert "shadows=8" in records["with"]["reasons"][f"{role}.mia_reference_auc"]
        values, reasons = records["without"]["metrics"][role], records["without"]["reasons"]
        assert set(values.values()) == {None}
        assert "task.validation=10" in reasons[f"{role}.mia_min_k_auc"]
