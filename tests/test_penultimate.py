"""Features that the last layer reads, and distances of weights, of every kind of network on a small task."""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from torch import nn

from mubench import anatomy, catalog, distances, evaluation, evidence, models, penultimate
from mubench.adapters.lora import LoRA
from mubench.data import Stream
from mubench.metrics import METRICS
from mubench.metrics.base import View
from mubench.modalities.token_ids import IGNORED
from mubench.plan import Planner
from mubench.progress import Reporter
from mubench.workbench import Workbench, lay_out

DIRS = catalog.config_dirs()
TWINS = ["digits", *(name for name in catalog.names("task", DIRS) if name.startswith("mini/"))]
MOST = {"train": 40, "test": 12, "validation": 12, "valid": 12, "count": 40}  # what is generated, at most
QUIET = Reporter(quiet=True)


def node_of(name: str) -> Any:
    """What a task's yaml holds."""
    return OmegaConf.to_container(OmegaConf.load(catalog.path_of("task", name, DIRS)))


@cache
def twins() -> dict[str, str]:
    """{model: the last of the small tasks it is for}; from the yamls alone, before tests are chosen."""
    return {item["override /model"]: name for name in TWINS for item in node_of(name)["defaults"]
            if "override /model" in item}  # fmt: skip


def laid_out(name: str, out, *words: str) -> Workbench:
    made = node_of(name)["task"].get("generate") or {}
    fewer = [f"task.generate.{key}={min(made[key], MOST[key])}" for key in made if key in MOST]
    overrides = [f"task={name}", *fewer, "deletion.ratio=15", f"out={out}", "trainer.device=cpu", *words]
    (cell,) = Planner(DIRS).cells(overrides, multirun=False)
    return lay_out(cell, QUIET)


@pytest.fixture(scope="module", params=sorted(twins()))
def bench(request, tmp_path_factory) -> Workbench:
    return laid_out(twins()[request.param], tmp_path_factory.mktemp("out"))


@pytest.fixture(scope="module")
def model(bench) -> nn.Module:
    return bench.spec.fresh(0).eval()


def batch_of(bench: Workbench, rows: np.ndarray):
    (batch,) = Stream(bench.columns["train"], torch.from_numpy(rows), 9, bench.engine.device).batches(None)
    return bench.modality.prepare(batch, bench.spec.input, None)


def rows_of(bench: Workbench) -> np.ndarray:
    return bench.split.forget[:5]


@torch.inference_mode()
def test_features_are_what_the_last_layer_makes_the_scores_of(bench, model):
    """W f + b are the scores of classes, and the mean scores over an example's label tokens."""
    found = penultimate.features(bench, "forget", rows_of(bench), model)
    assert found is not None and found.dtype == np.float32 and found.shape[0] == 5
    batch = batch_of(bench, rows_of(bench))
    layer, scores = anatomy.last_layer(model, bench.classes), bench.modality.logits(model, batch)
    if "pictures" in bench.modality.gives:
        assert np.allclose(found, painted(bench, model, layer), atol=1e-5)
        return
    if scores.dim() == 3:
        labels = bench.modality.trimmed(batch).targets != IGNORED
        scores = torch.stack([row[mask].mean(0) for row, mask in zip(scores, labels, strict=True)])
    made = layer(torch.from_numpy(found))
    torch.testing.assert_close(made, scores, rtol=1e-4, atol=1e-4)


def painted(bench: Workbench, model: nn.Module, layer: nn.Module) -> np.ndarray:
    """Of each picture alone the mean over levels and places, by a hook of its own."""
    found, seen = [], []
    hook = layer.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].double()))
    for row in rows_of(bench):
        seen.clear()
        bench.modality.logits(model, batch_of(bench, np.array([row])))
        levels = bench.modality.eval_steps
        assert len(seen) == 1 and seen[0].shape[0] == levels
        found.append(seen[0].numpy().mean(axis=(0, 2, 3)))
    hook.remove()
    return np.array(found)


def test_neither_batches_nor_frozen_weights_nor_an_adapter_change_them(bench, model):
    before = penultimate.features(bench, "forget", rows_of(bench), model)
    frozen = copy.deepcopy(model).requires_grad_(False)
    settings = bench.config.settings
    settings = replace(settings, evaluation=replace(settings.evaluation, batch_size=2))
    other = replace(bench, config=replace(bench.config, settings=settings))
    assert np.allclose(penultimate.features(other, "forget", rows_of(bench), frozen), before, atol=1e-4)
    adapter = LoRA("lora", rank=max(1, bench.classes))  # as many outputs within the adapter as classes
    adapted = adapter.attach(copy.deepcopy(model), bench.classes, 0, QUIET)
    under = replace(bench, adapter=adapter)
    assert np.allclose(penultimate.features(under, "forget", rows_of(bench), adapted), before, atol=1e-5)
    assert not any(layer._forward_pre_hooks for layer in model.modules())


def test_evaluation_stores_them_for_the_metrics_that_read_them(bench, model):
    metrics = [METRICS["cka_forget"]]
    splits = evaluation.of_model(bench, model, metrics)
    assert evaluation.of_model(bench, model, [METRICS["signal_forget_loss"]])["test"].penultimate is None
    assert all(len(splits[name].probed) == len(splits[name].penultimate) for name in ("forget", "test"))
    assert splits["retain"].penultimate is None
    view = View("unlearned", dict.fromkeys(("unlearned", "original", "retrained"), splits))
    assert METRICS["cka_forget"].function(view)["cka_forget"] == pytest.approx(1)


# Once, on digits --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def digits(tmp_path_factory) -> Workbench:
    return laid_out("digits", tmp_path_factory.mktemp("out"))


def test_a_fixed_sample_bounds_what_is_stored(digits):
    model = digits.spec.fresh(0)
    splits = evaluation.of_model(digits, model, [METRICS["cka_test"]])
    assert len(splits["test"]) > 256 == len(splits["test"].probed)
    again = evaluation.of_model(digits, model, [METRICS["cka_test"]])
    assert np.array_equal(splits["test"].probed, again["test"].probed)
    whole = penultimate.features(digits, "test", splits["test"].probed, model)
    assert np.array_equal(whole, splits["test"].penultimate)


def test_a_shared_model_keeps_them_in_its_folder(digits, tmp_path):
    model, rows = digits.spec.fresh(0), evaluation.rows_of(digits)
    splits = {name: digits.predict(model, name, rows[name]) for name in rows}
    first = penultimate.complete(digits, splits, rows, lambda: model, tmp_path)
    assert len(list(tmp_path.glob("penultimate-*.safetensors"))) == 2

    def refused():
        raise AssertionError("asked for the model")

    again = penultimate.complete(digits, splits, rows, refused, tmp_path)
    for name in ("forget", "test"):
        assert np.array_equal(first[name].penultimate, again[name].penultimate)
        assert np.array_equal(first[name].probed, again[name].probed)


def test_a_network_whose_scores_come_from_no_linear_layer_has_none(digits):
    class Convolved(nn.Module):
        def __init__(self):
            super().__init__()
            self.only = nn.Conv2d(1, 10, 8)

        def forward(self, pixel_values):
            return self.only(pixel_values).flatten(1)

    assert penultimate.features(digits, "forget", rows_of(digits), Convolved()) is None


# Distances of weights ---------------------------------------------------------------------------


def shared(tmp_path, **networks: nn.Module):
    for role, network in networks.items():
        models.save(network, tmp_path / role / "model.safetensors")
    return {role: tmp_path / role for role in networks}


def moved(model: nn.Module, seed: int) -> nn.Module:
    """A copy whose weights are moved at random."""
    other, draw = copy.deepcopy(model), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in other.parameters():
            weight += 0.1 * torch.randn(weight.shape, generator=draw)
    return other


def apart(first: nn.Module, second: nn.Module) -> float:
    pairs = zip(first.parameters(), second.parameters(), strict=True)
    squares = [float((a.detach().double() - b.detach().double()).square().sum()) for a, b in pairs]
    return float(np.sqrt(sum(squares)))


def total(found, name: str) -> float:
    return METRICS[name].function(View("unlearned", {}, distances=found))


def test_distances_are_those_of_all_weights_of_every_network(bench, model, tmp_path):
    """Also where two parts share a weight, which is in the file once."""
    original, retrained = moved(model, 1), moved(model, 2)
    found = distances.measure(bench, model, shared(tmp_path, original=original, retrained=retrained))
    assert total(found, "weight_distance_original") == pytest.approx(apart(model, original))
    assert total(found, "weight_distance_retrained") == pytest.approx(apart(model, retrained))
    assert total(found, "weight_distance_baseline") == pytest.approx(apart(original, retrained))
    assert found.names == tuple(name for name, _ in model.named_parameters())


def test_equal_weights_are_no_distance_and_batch_statistics_do_not_count(digits, tmp_path):
    model = digits.spec.fresh(0)
    folders = shared(tmp_path, original=model)
    for buffer in model.buffers():
        buffer += 1
    found = distances.measure(digits, model, folders)
    assert total(found, "weight_distance_original") == 0 and "retrained" not in str(found.squared)


def test_an_adapters_update_counts_as_the_weights(bench, model, tmp_path):
    """At B = 0 nothing; then the size of B A alpha / rank, layer by layer."""
    adapter = LoRA("lora", rank=2, alpha=6)
    adapted = adapter.attach(copy.deepcopy(model), bench.classes, 0, QUIET)
    under, folders = replace(bench, adapter=adapter), shared(tmp_path, original=model)
    assert total(distances.measure(under, adapted, folders), "weight_distance_original") == 0
    weights = dict(adapted.named_parameters())
    expected = 0.0
    with torch.no_grad():
        for name, b in weights.items():
            if ".lora_B." in name:
                b.normal_(generator=torch.Generator().manual_seed(len(name)))
                a = weights[name.replace(".lora_B.", ".lora_A.")]
                expected += float((3 * b.flatten(1).double() @ a.flatten(1).double()).square().sum())
    found = distances.measure(under, adapted, folders)
    assert total(found, "weight_distance_original") == pytest.approx(np.sqrt(expected), rel=1e-4)
    assert set(found.names) == {name for name, _ in model.named_parameters()}


def test_distances_are_read_as_they_were_written(digits, tmp_path):
    model = digits.spec.fresh(0)
    found = distances.measure(digits, model, shared(tmp_path, original=moved(model, 1)))
    evidence.save_distances(found, tmp_path)
    again = evidence.load_distances(tmp_path)
    assert again.names == found.names and again.squared.keys() == found.squared.keys()
    assert np.array_equal(again.squared["original-unlearned"], found.squared["original-unlearned"])
    assert evidence.load_distances(tmp_path / "elsewhere") is None


def test_a_network_of_other_weights_has_no_distances_and_a_warning_says_so(digits, tmp_path, capsys):
    other = nn.utils.parametrizations.weight_norm(digits.spec.fresh(0).head)
    loud = replace(digits, reporter=Reporter())
    assert distances.measure(loud, other, shared(tmp_path, original=digits.spec.fresh(0))) is None
    assert "is not a weight of every model" in capsys.readouterr().err
