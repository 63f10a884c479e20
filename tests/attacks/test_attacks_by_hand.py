"""Attacks against slow arithmetic: rounding, noise, halves and steps of relearning, points of a line."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny import LABELS, PIXELS, START, softmax
from torch import nn
from transformers.pytorch_utils import Conv1D
from workbenches import FORGET, RETAIN, linear_target

from mubench.adapters.lora import LoRA
from mubench.attacks.connectivity import Connectivity, mix
from mubench.attacks.noise import Noise
from mubench.attacks.quantise import Quantise, quantise, rounded
from mubench.attacks.relearn import Relearn, Rounds
from mubench.data import Stream
from mubench.modalities import signals
from mubench.progress import Reporter

X, TEST_X, TEST_Y = PIXELS / 255.0, PIXELS[::-1] / 255.0, LABELS[::-1]


def by_hand(weight: np.ndarray, bits: int, group: int | None) -> np.ndarray:
    """Every group of every row by itself, one weight after another."""
    top, found = 2 ** (bits - 1) - 1, np.array(weight, dtype=np.float64, order="C")
    for row in found.reshape(len(found), -1):
        for start in range(0, len(row), group or len(row)):
            part = row[start : start + (group or len(row))]
            scale = np.abs(part).max() / top
            for place, value in enumerate(part):
                part[place] = scale * min(max(np.rint(value / scale), -top), top) if scale else 0.0
    return found


def mean_loss(x, y, rows, w) -> float:
    return float(-np.log(softmax(x[rows] @ w.T)[np.arange(len(rows)), y[rows]]).mean())


# Rounding ------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("group", [None, 3, 100])
@pytest.mark.parametrize("shape", [(4, 7), (3, 2, 3, 3)])
def test_weights_go_to_the_nearest_level_of_their_channel_or_group(bits, group, shape):
    weight = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    weight[1] = 0
    found = rounded(weight, bits, group)
    np.testing.assert_allclose(found.numpy(), by_hand(weight.numpy(), bits, group), rtol=1e-14)
    scale = weight.flatten(1).abs().amax(1) / (2 ** (bits - 1) - 1)
    if group is None:
        assert all(len(np.unique(row)) <= 2**bits - 1 for row in found.flatten(1).numpy())
        assert ((found - weight).flatten(1).abs() <= scale[:, None] / 2 + 1e-12).all()


@pytest.mark.parametrize("bits", [4, 8])
def test_representable_weights_keep_every_bit(bits):
    top = 2 ** (bits - 1) - 1
    levels = torch.randint(-top, top + 1, (5, 40), generator=torch.Generator().manual_seed(0)).float()
    levels[:, 3] = top
    weight = levels * torch.tensor([2.0**-7, 1.0, 2.0**-20, 4.0, 0.5])[:, None]
    assert torch.equal(rounded(weight, bits), weight)
    other = rounded(torch.randn(5, 40), bits)
    torch.testing.assert_close(rounded(other, bits), other, rtol=1e-6, atol=0)


def test_the_channel_is_the_output_of_each_kind_of_layer_and_nothing_else_is_rounded():
    network = nn.Sequential(
        nn.Linear(6, 4), nn.Conv2d(3, 4, 2), nn.ConvTranspose2d(3, 4, 2), nn.Embedding(5, 6), Conv1D(4, 6),
        nn.LayerNorm(4), nn.BatchNorm1d(4),
    )  # fmt: skip
    before = copy.deepcopy(network)
    quantise(network, 3)
    for place, channel in enumerate([0, 0, 1, 0, 1]):
        weight = before[place].weight.detach().movedim(channel, 0).double().numpy()
        want = np.moveaxis(by_hand(weight, 3, None), 0, channel)
        np.testing.assert_allclose(network[place].weight.detach().numpy(), want, rtol=1e-6)
        assert not torch.equal(network[place].weight, before[place].weight)
    rest = [name for name, _ in before.state_dict().items() if name not in {f"{i}.weight" for i in range(5)}]
    assert len(rest) == 11
    for name in rest:
        assert torch.equal(network.state_dict()[name], before.state_dict()[name]), name


def test_a_shared_weight_is_rounded_once():
    embedding, head = nn.Embedding(5, 6), nn.Linear(6, 5, bias=False)
    head.weight = embedding.weight
    want = rounded(embedding.weight.detach().clone(), 4)
    network = nn.ModuleList([embedding, head])
    quantise(network, 4)
    assert torch.equal(head.weight, want) and head.weight is embedding.weight


def test_rounding_of_a_model_is_looked_at_beside_the_model_itself():
    target = linear_target()
    columns = Quantise(bits=[8, 2]).curves(target)["weights"]
    assert columns["bits"] == [32.0, 8.0, 2.0]
    # This network's weight is in no layer that is rounded.
    np.testing.assert_allclose(columns["forget_loss"], mean_loss(X, LABELS, FORGET, START), rtol=1e-6)


# Noise ---------------------------------------------------------------------------------------


def test_noise_is_a_rows_own_whatever_batch_it_is_in():
    values, rows = torch.zeros(6, 3, 5), torch.tensor([9, 4, 7, 0, 1, 2])
    whole = signals.noise(values, rows, 42, 0)
    assert torch.equal(signals.noise(values[:2], rows[1:3], 42, 0), whole[1:3])
    for seeds in ((42, 1), (43, 0)):
        assert not torch.isclose(signals.noise(values, rows, *seeds), whole).any()
    many = signals.noise(torch.zeros(400, 50), torch.arange(400), 1)
    assert abs(float(many.mean())) < 0.02 and abs(float(many.std()) - 1) < 0.02
    assert signals.noise(values.double(), rows, 1).dtype == torch.float64


def test_noise_moves_inputs_by_their_own_spread():
    target = linear_target()
    columns = Noise(sigma=[0.7], draws=3).curves(target)["forget"]
    losses, right = [], []
    for draw in range(3):
        e = signals.noise(torch.zeros(2, 1, 2, 2), torch.tensor(FORGET), 42, draw).flatten(1).double().numpy()
        p = softmax((X[FORGET] + 0.7 * X[FORGET].std(axis=1, keepdims=True) * e) @ START.T)
        losses += list(-np.log(p[[0, 1], LABELS[FORGET]]))
        right += list(p.argmax(1) == LABELS[FORGET])
    assert columns["sigma"] == [0.0, 0.7]
    assert columns["forget_loss"][1] == pytest.approx(np.mean(losses), rel=1e-5)
    assert columns["recognised"][1] == pytest.approx(np.mean(right))
    assert columns["forget_loss"][0] == pytest.approx(mean_loss(X, LABELS, FORGET, START), rel=1e-6)


# Relearning ----------------------------------------------------------------------------------


def test_what_is_learned_is_never_measured():
    target = linear_target()
    seen = {source: Relearn().split(target, source) for source in Relearn().sources}
    halves = [seen["forget"][0].tolist(), seen["forget"][1]["forget"].tolist()]
    assert sorted(halves[0] + halves[1]) == FORGET and all(halves)
    assert seen["corrupted"][0].tolist() == halves[0]
    assert seen["retain"][0].tolist() == RETAIN
    assert seen["retain"][1]["forget"].tolist() == seen["test"][1]["forget"].tolist() == FORGET
    learned, measured = seen["test"][0].tolist(), seen["test"][1]["test"].tolist()
    assert sorted(learned + measured) == list(range(6)) and len(learned) == 3
    assert all(one[1]["test"].tolist() == measured for one in seen.values())


@pytest.mark.parametrize("source", ["forget", "retain", "test", "corrupted"])
def test_relearning_is_gradient_descent_on_the_source(source):
    target, attack = linear_target(), Relearn(steps=[1, 3], lr=0.5, batch_size=64, sigma=0.3)
    learned, measured = attack.split(target, source)
    x, y = (TEST_X, TEST_Y) if source == "test" else (X, LABELS)
    x, y, w = x[learned], y[learned], START.copy()
    if source == "corrupted":
        e = signals.noise(torch.zeros(len(x), 1, 2, 2), torch.from_numpy(learned), 42, 0)
        x = x + 0.3 * x.std(axis=1, keepdims=True) * e.flatten(1).double().numpy()
    want: dict[str, list[float]] = {"forget_loss": [], "test_loss": []}
    for step in range(4):
        if step in (0, 1, 3):
            want["forget_loss"].append(mean_loss(X, LABELS, measured["forget"], w))
            want["test_loss"].append(mean_loss(TEST_X, TEST_Y, measured["test"], w))
        w -= 0.5 * (softmax(x @ w.T) - np.eye(3)[y]).T @ x / len(x)
    columns = attack.curves(target)[source]
    assert columns["steps"] == [0.0, 1.0, 3.0]
    for name, values in want.items():
        np.testing.assert_allclose(columns[name], values, rtol=1e-5)
    assert torch.equal(target.network.weight, torch.from_numpy(START))


def test_a_stream_goes_round_until_the_steps_are_done():
    stream = Stream(linear_target().bench.columns["train"], torch.arange(5), 2, torch.device("cpu"))
    batches = [b.index.tolist() for b in Rounds(stream, 8).batches(torch.Generator().manual_seed(0))]
    assert [len(rows) for rows in batches] == [2, 2, 1, 2, 2, 1, 2, 2]
    rounds = [[row for rows in part for row in rows] for part in (batches[:3], batches[3:6])]
    assert [sorted(rows) for rows in rounds] == [[0, 1, 2, 3, 4]] * 2 and rounds[0] != rounds[1]
    assert len(list(Rounds(stream, 8).batches(None, skip=5))) == 3 and len(Rounds(stream, 8)) == 8


def test_a_diverging_relearning_is_told_in_the_curves_place():
    target = linear_target()
    with torch.no_grad():
        target.network.weight.mul_(1e308)
    found = Relearn(sources=["retain"], steps=[2]).curves(target)
    assert "relearning from retain diverged" in found["retain"]


def test_one_example_to_forget_cannot_be_halved():
    target = linear_target()
    split = replace(target.bench.split, forget=np.array([1]))
    found = Relearn(steps=[1]).curves(replace(target, bench=replace(target.bench, split=split)))
    assert found["forget"] == "too few examples to relearn from forget: none is left to be learned"
    assert found["retain"]["steps"] == [0.0, 1.0]


# Lines ---------------------------------------------------------------------------------------


def test_a_point_of_a_line_lies_between_and_the_ends_are_exact():
    first, last, there = (nn.BatchNorm1d(3) for _ in range(3))
    for seed, one in enumerate((first, last)):
        for value in one.state_dict().values():
            value.copy_(torch.rand(value.shape, generator=torch.Generator().manual_seed(seed)) * 9)
    a, b = first.state_dict(), last.state_dict()
    for t, end in ((0, a), (1, b)):
        mix(there, a, b, t)
        assert all(torch.equal(value, end[name]) for name, value in there.state_dict().items())
    mix(there, a, b, 0.25)
    torch.testing.assert_close(there.weight, 0.75 * first.weight + 0.25 * last.weight)
    assert torch.equal(there.num_batches_tracked, first.num_batches_tracked)


def test_the_line_of_a_linear_model_is_measured_where_it_should_be():
    target = linear_target()
    found = Connectivity(points=3).curves(target)
    other = target.others["original"].weight.detach().numpy()
    for t, loss in zip(found["original"]["t"], found["original"]["retain_loss"], strict=True):
        assert loss == pytest.approx(mean_loss(X, LABELS, RETAIN, (1 - t) * START + t * other), rel=1e-6)
    assert found["original"]["t"] == [0.0, 0.5, 1.0]


# Adapters ------------------------------------------------------------------------------------


def dense() -> tuple[nn.Module, torch.Tensor]:
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)), torch.randn(5, 6)


def convolutional() -> tuple[nn.Module, torch.Tensor]:
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(4, 3)), torch.randn(5, 1, 3, 3)


@pytest.mark.parametrize("build", [dense, convolutional])
def test_merged_updates_compute_the_same_without_an_adapter(build):
    torch.manual_seed(0)
    plain, x = build()
    names = set(plain.state_dict())
    adapter = LoRA("lora", rank=2)
    model = adapter.attach(plain, 3, 0, Reporter(quiet=True)).eval()
    with torch.no_grad():
        for weight in model.parameters():
            if weight.requires_grad:
                weight.add_(torch.randn(weight.shape) * 0.3)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    merged = adapter.merged(model)
    torch.testing.assert_close(merged(x), model(x), rtol=1e-5, atol=1e-6)
    assert set(merged.state_dict()) == names and "lora" not in str(merged)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
