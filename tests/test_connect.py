"""Paths between models: the curves by hand, and the verb on two real runs."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from command_line import ALONE, FAST, mubench, record_of

from mubench.connect import curves
from mubench.connect.pair import load, read, weights
from mubench.connect.walk import Plan, measure, renew_statistics, train
from mubench.errors import UsageError
from mubench.metrics.robustness import barrier
from mubench.progress import Reporter

A, B, C = ({"w": torch.tensor(values)} for values in ([1.0, -3.0], [0.5, 8.0], [-2.0, 7.0]))
SPLITS = ("forget", "retain", "test")


@pytest.mark.parametrize("name", curves.CURVES)
def test_a_path_begins_and_ends_at_the_models_to_the_bit(name):
    curve = curves.CURVES[name]
    for t in np.linspace(0, 1, 41):
        assert sum(curve(t)) == pytest.approx(1) and min(curve(t)) >= 0
    assert torch.equal(curves.point(curve, 0.0, A, B, C)["w"], A["w"])
    assert torch.equal(curves.point(curve, 1.0, A, B, C)["w"], C["w"])


def test_a_bezier_curve_at_its_middle_is_a_quarter_a_half_and_a_quarter():
    found = curves.point(curves.bezier, 0.5, A, B, C)["w"]
    assert torch.equal(found, 0.25 * A["w"] + 0.5 * B["w"] + 0.25 * C["w"])
    found = curves.point(curves.bezier, 0.2, A, B, C)["w"]
    torch.testing.assert_close(found, 0.64 * A["w"] + 0.32 * B["w"] + 0.04 * C["w"])


def test_a_chain_passes_through_its_middle_and_is_straight_on_both_sides():
    assert torch.equal(curves.point(curves.chain, 0.5, A, B, C)["w"], B["w"])
    torch.testing.assert_close(curves.point(curves.chain, 0.25, A, B, C)["w"], (A["w"] + B["w"]) / 2)
    torch.testing.assert_close(curves.point(curves.chain, 0.75, A, B, C)["w"], (B["w"] + C["w"]) / 2)


def test_a_line_is_a_bezier_curve_around_the_midpoint():
    middle = {"w": (A["w"] + C["w"]) / 2}
    for t in (0.1, 0.5, 0.8):
        line, bent = (curves.point(c, t, A, middle, C)["w"] for c in (curves.linear, curves.bezier))
        torch.testing.assert_close(line, bent)


def test_a_barrier_is_the_height_above_the_line_between_the_ends():
    t = [0.0, 0.25, 0.5, 1.0]
    assert barrier(t, [1.0, 4.0, 2.5, 3.0]) == 2.5
    assert barrier(t, [1.0, 1.0, 1.0, 3.0]) == 0
    assert barrier(t, [0.9, 0.5, 0.95, 0.7], higher=True) == pytest.approx(0.35)
    assert barrier(t, [1.0, None, 2.0, 3.0]) is None


@pytest.fixture(scope="module")
def saved(first, tmp_path_factory):
    """Outputs with four runs whose weights were kept: two methods, two forget sets."""
    folder = tmp_path_factory.mktemp("connect") / "outputs"
    shutil.copytree(first.folder, folder)
    words = ["-m", "method=finetune,grad_diff", "deletion.ratio=5,9", "save_model=true", ALONE, *FAST]
    done = mubench("run", *words, f"out={folder}")
    assert done.status == 0, done.err
    return folder


def run_of(folder, method, deletion="random-5"):
    (found,) = folder.glob(f"runs/digits/resnet-small/{method}/{deletion}/*")
    return found


def test_connect_leaves_numbers_and_a_picture_and_prints_barriers(saved, cli):
    pytest.importorskip("matplotlib")
    ends = [run_of(saved, "finetune"), run_of(saved, "grad_diff")]
    done = mubench("connect", *map(str, ends), "--points", "3", "--epochs=1")
    assert done.status == 0, done.err
    (folder,) = saved.glob("connections/digits/resnet-small/*")
    assert done.out.startswith("finetune (t = 0) to grad_diff (t = 1) · digits") and done.out.endswith(
        f"{folder}\n"
    )
    assert (folder / "connection.png").read_bytes().startswith(b"\x89PNG")
    found = json.loads((folder / "connection.json").read_text())
    assert found["settings"] == {"points": 3, "epochs": 1, "rows": "retain", "seed": 42}
    for run, values in zip(ends, found["as_saved"], strict=True):
        recorded = record_of(run)["metrics"]["unlearned"]
        for name in (f"{split}_{metric}" for split in SPLITS for metric in ("loss", "accuracy")):
            assert values[name] == pytest.approx(recorded[name], abs=1e-6), name
    lines = [curve["test_loss"] for curve in found["curves"].values()]
    assert found["curves"]["linear"]["t"] == [0.0, 0.5, 1.0]
    assert len({line[0] for line in lines}) == len({line[2] for line in lines}) == 1
    assert len({line[1] for line in lines}) == 3
    again = cli("connect", *map(str, ends), "--points", "3", "--epochs=1", f"out={saved}")
    assert json.loads((folder / "connection.json").read_text())["curves"] == found["curves"], again.err


def test_the_ends_are_the_models_and_a_trained_middle_has_a_smaller_loss(saved):
    pair = load((run_of(saved, "finetune"), run_of(saved, "grad_diff")), None, Reporter(quiet=True))
    bench, plan = pair.bench, Plan(epochs=3)
    first, last = map(weights, pair.networks)
    middle = {name: (first[name] + last[name]) / 2 for name in first}
    network = bench.engine.place(bench.spec.fresh(0))
    trained = train(bench, network, curves.bezier, (first, middle, last), plan, "test")
    at = {}
    for name, values in (("first", first), ("middle", middle), ("trained", trained)):
        with torch.no_grad():
            for key, weight in network.named_parameters():
                weight.copy_(values[key])
        renew_statistics(bench, network, plan.rows)
        at[name] = measure(bench, network)
    assert at["trained"]["retain_loss"] < at["middle"]["retain_loss"]
    renew_statistics(bench, pair.networks[0], plan.rows)
    assert measure(bench, pair.networks[0]) == at["first"]


def test_statistics_are_the_mean_over_batches_of_all_rows(saved):
    """The first normalisation sees the first convolution of the pictures: worked out batch by batch."""
    pair = load((run_of(saved, "finetune"), run_of(saved, "grad_diff")), None, Reporter(quiet=True))
    bench, network, seen = pair.bench, pair.networks[0], []
    norm = next(m for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d))
    momentum = norm.momentum
    handle = norm.register_forward_pre_hook(lambda _, given: seen.append(given[0].detach().double()))
    renew_statistics(bench, network, "retain")
    handle.remove()
    assert sum(map(len, seen)) == len(bench.split.retain)
    mean = torch.stack([x.mean((0, 2, 3)) for x in seen]).mean(0)
    variance = torch.stack([x.var((0, 2, 3)) for x in seen]).mean(0)
    torch.testing.assert_close(norm.running_mean.double(), mean, rtol=0, atol=1e-5)
    torch.testing.assert_close(norm.running_var.double(), variance, rtol=1e-4, atol=1e-5)
    assert norm.momentum == momentum and not any(m.training for m in network.modules())


def test_under_lora_the_path_runs_through_updates_and_head_alone(tmp_path, saved):
    """The weights beneath and the statistics of held normalisations keep their bits."""
    out = f"out={tmp_path / 'outputs'}"
    shutil.copytree(saved / "models", tmp_path / "outputs" / "models")
    words = ["-m", "method=finetune,grad_diff", "adapter=lora", "save_model=true", ALONE, *FAST, out]
    assert mubench("run", *words).status == 0
    ends = tuple(run_of(tmp_path / "outputs", method) for method in ("finetune", "grad_diff"))
    pair = load(ends, None, Reporter(quiet=True))
    first, last = map(weights, pair.networks)
    assert first and all(".lora_" in name or name.startswith("head.") for name in first)
    before = {name: value.clone() for name, value in pair.networks[0].state_dict().items()}
    half = {name: (first[name] + last[name]) / 2 for name in first}
    train(pair.bench, pair.networks[0], curves.chain, (first, half, last), Plan(epochs=1), "test")
    renew_statistics(pair.bench, pair.networks[0], "retain")
    moved = {n for n, value in pair.networks[0].state_dict().items() if not torch.equal(value, before[n])}
    assert moved and moved <= set(first)
    with pytest.raises(UsageError, match="differ in their adapter: 'lora' and 'none'"):
        read((ends[0], run_of(saved, "grad_diff")))


def test_runs_that_cannot_be_connected_get_one_sentence(saved, first, cli):
    one, other = run_of(saved, "finetune"), run_of(saved, "grad_diff", "random-9")
    bare = run_of(saved, "neggrad")

    def sentence(*words: str) -> str:
        done = cli("connect", *words)
        assert done.status == 2 and done.out == "" and done.err.count("\n") == 1, done
        return done.err

    ours, theirs = (record_of(run)["forget_set"]["sha256"][:8] for run in (one, other))
    assert sentence(str(one), str(other)) == (
        f"mubench: the runs differ in their forget set: '{ours}' and '{theirs}'\n"
    )
    said = sentence(str(one), str(bare))
    assert said.startswith(f"mubench: {bare} kept no weights; repeat it: mubench run method=neggrad ")
    assert said.endswith(" save_model=true force=true\n")
    assert "holds no complete run" in sentence(str(one), str(saved))
    assert sentence(str(one)) == "mubench: connect takes two runs' directories (mubench ls runs)\n"
    assert "--points is a whole number, such as 11; not 'few'" in sentence("a", "b", "--points", "few")
    assert "--points must lie in [2, 10001], not 1" in sentence("a", "b", "--points=1")
    assert "--rows is one of retain, train; not 'retian'" in sentence("a", "b", "--rows=retian")


def test_without_matplotlib_it_says_which_extra_holds_it(cli, monkeypatch):
    monkeypatch.setattr("mubench.extras.find_spec", lambda name: None)
    said = cli("connect", "a", "b").err
    assert said == "mubench: mubench connect needs the package matplotlib: pip install 'mubench[plot]'\n"
