"""L-CODEC: dependence by nearest neighbours against loops, the chosen units, and the Newton step on them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny import LABELS, features, softmax, tiny_run
from torch import Tensor, nn

from mubench import gradients
from mubench.adapters.lora import LoRA
from mubench.methods import codec, units
from mubench.methods.codec import foci
from mubench.methods.l_codec import LCodec
from mubench.progress import Reporter

FORGET, RETAIN = [0, 1], [2, 3, 4, 5]


def slow_codec(y: np.ndarray, z: np.ndarray, x: np.ndarray) -> float:
    """T(Y, Z | X) by the definition; z (n,), x (n, S), S may be 0."""

    def nearest(points: np.ndarray, i: int) -> int:
        others = [(np.sum((points[i] - points[j]) ** 2), j) for j in range(len(points)) if j != i]
        return min(others)[1]

    n, both = len(y), np.column_stack([x, z])
    below = [sum(y[j] <= y[i] for j in range(n)) for i in range(n)]
    above = [sum(y[j] >= y[i] for j in range(n)) for i in range(n)]
    top, bottom = 0.0, 0.0
    for i in range(n):
        near = min(below[i], below[nearest(both, i)])
        if x.shape[1]:
            alone = min(below[i], below[nearest(x, i)])
            top, bottom = top + near - alone, bottom + below[i] - alone
        else:
            top, bottom = top + n * near - above[i] ** 2, bottom + above[i] * (n - above[i])
    return top / bottom


@pytest.mark.parametrize("given", [0, 1, 2])
@pytest.mark.parametrize("cells", [1, 2**24])
def test_codec_is_the_papers_statistic(given, cells, monkeypatch):
    monkeypatch.setattr(codec, "CELLS", cells)
    rng = np.random.default_rng(0)
    values = rng.normal(size=(30, 5))
    y = np.round(values[:, 0] + values[:, 3] + 0.3 * rng.normal(size=30), 1)  # with ties
    found = codec.codec(
        torch.from_numpy(y), torch.from_numpy(values), torch.from_numpy(values[:, 3 : 3 + given])
    )
    expected = [slow_codec(y, values[:, at], values[:, 3 : 3 + given]) for at in range(5)]
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-12)


def test_codec_is_1_for_a_function_and_0_for_what_is_independent():
    draw = torch.Generator().manual_seed(0)
    x = torch.rand((2000, 3), generator=draw, dtype=torch.float64)
    y = (x[:, 0] + x[:, 1]) % 1
    alone = codec.codec(y, x, x[:, :0])
    assert alone.abs().max() < 0.1  # no one of them tells anything
    together = codec.codec(y, x, x[:, [1]])
    assert together[0] > 0.9 and abs(float(together[2])) < 0.1


def test_foci_chooses_what_the_target_depends_on_whatever_its_scale_and_stops():
    draw = torch.Generator().manual_seed(1)
    x = torch.randn((300, 6), generator=draw) * torch.tensor([1.0, 1e3, 1e-3, 1.0, 1.0, 0.0])
    y = 3 * x[:, 2] / 1e-3 + x[:, 4]
    chosen = foci(y, x, 6)
    assert chosen[:2] == [2, 4]
    assert 5 not in chosen  # a constant
    assert foci(y, x, 1) == [2]
    assert foci(torch.zeros(300), x, 6) == []  # nothing depends on anything


class Two(nn.Module):
    """A hidden layer of five units and an output of three; float64."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 5), nn.Linear(5, 3)
        self.double()

    def forward(self, pixel_values: Tensor) -> Tensor:
        return self.second(self.first(pixel_values.flatten(1).double()).tanh())


def two_run(method: LCodec, **recipe):
    run = tiny_run(method, FORGET, RETAIN, **recipe)
    torch.manual_seed(0)
    run.model = Two()
    return run


def hand_gradient(model: Two, row: int) -> dict[str, np.ndarray]:
    """Gradient of CE of one example, by the chain rule."""
    x, w1, b1, w2, b2 = features([row])[0], *(w.detach().numpy().copy() for w in model.parameters())
    h = np.tanh(w1 @ x + b1)
    dz = softmax(w2 @ h + b2) - np.eye(3)[LABELS[row]]
    da = (w2.T @ dz) * (1 - h**2)
    return {
        "first.weight": np.outer(da, x),
        "first.bias": da,
        "second.weight": np.outer(dz, h),
        "second.bias": dz,
    }


def flat(gradient: dict[str, np.ndarray], chosen: list[tuple[str, int]]) -> np.ndarray:
    return np.concatenate([np.atleast_1d(gradient[name][unit]).flatten() for name, unit in chosen])


@pytest.mark.parametrize("kept", [1, 3, 100])
def test_the_step_is_newtons_on_the_chosen_rows_alone(kept, monkeypatch):
    """H_r = (n H - sum_f H_f) / (n - m), dense; what is not chosen keeps its bits."""
    method = LCodec(units=2, damping=0.05, limit=1e3)
    run = two_run(method)
    start = {n: w.detach().numpy().copy() for n, w in run.weights.items()}
    layers = units.layers(run.model, run.weights)
    places = [1, 3, 7]  # units 1 and 3 of the first layer, 2 of the second
    monkeypatch.setattr("mubench.methods.l_codec.foci", lambda *_: places)
    monkeypatch.setattr(gradients, "BYTES", kept * 43 * 8)
    each = {row: hand_gradient(run.model, row) for row in range(6)}
    assert [layer.units for layer in layers] == [5, 3]
    method.unlearn(run)
    chosen = [(f"{layer}.{kind}", unit) for layer, unit in (("first", 1), ("first", 3), ("second", 2))
              for kind in ("weight", "bias")]  # fmt: skip
    g = {row: flat(each[row], chosen) for row in range(6)}
    whole = sum(np.outer(v, v) for v in g.values()) / 6
    forget = sum(np.outer(g[row], g[row]) for row in FORGET)
    hessian = (6 * whole - forget) / 4
    hessian += 0.05 * np.trace(hessian) * np.eye(len(hessian))
    step = np.linalg.solve(hessian, sum(g[row] for row in FORGET) / 4)
    found = {n: w.detach().numpy() for n, w in run.weights.items()}
    moved = {n: found[n] - start[n] for n in start}
    np.testing.assert_allclose(flat(moved, chosen), step, atol=1e-10)
    assert step @ sum(g[row] for row in FORGET) > 0  # up the forget loss
    for name, unit in ((n, u) for n in start for u in range(len(start[n])) if (n, u) not in chosen):
        assert np.array_equal(found[name][unit], start[name][unit])


def test_a_step_too_long_is_cut_to_a_share_of_the_weights_that_it_moves(monkeypatch):
    monkeypatch.setattr("mubench.methods.l_codec.foci", lambda *_: [1, 7])
    chosen = [(f"{layer}.{kind}", unit) for layer, unit in (("first", 1), ("second", 2))
              for kind in ("weight", "bias")]  # fmt: skip
    moved = {}
    for limit in (1e3, 0.25):
        run = two_run(method := LCodec(units=2, limit=limit))
        start = {n: w.detach().numpy().copy() for n, w in run.weights.items()}
        method.unlearn(run)
        moved[limit] = flat({n: w.detach().numpy() - start[n] for n, w in run.weights.items()}, chosen)
    most, free = 0.25 * np.linalg.norm(flat(start, chosen)), np.linalg.norm(moved[1e3])
    assert free > most
    np.testing.assert_allclose(moved[0.25], moved[1e3] * most / free, rtol=1e-6)


def test_activations_are_means_over_examples_and_places_layer_by_layer():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(2), nn.Linear(4, 3))
    x = torch.randn(5, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    layers = units.layers(model, dict(model.named_parameters()))
    found = units.mean_activations(layers, lambda: model(x))
    kernels, last = model[0](x), model(x)
    torch.testing.assert_close(found, torch.cat([kernels.mean((0, 2, 3)), last.mean((0, 1))]).detach())
    model(x)
    assert not model[0]._forward_hooks and not model[2]._forward_hooks


def test_a_transformers_convolution_counts_units_by_its_columns():
    from transformers.pytorch_utils import Conv1D

    model = nn.Sequential(Conv1D(3, 4))
    (layer,) = units.layers(model, dict(model.named_parameters()))
    assert layer.units == 3 and layer.names == {"0.weight": 1, "0.bias": 0}


def test_under_lora_units_are_those_of_the_adapter_and_the_head():
    from families import family_run

    run = family_run(LCodec(), "image")
    run.model = LoRA("lora").attach(run.model, 4, 3, Reporter(quiet=True))
    named = {name for layer in units.layers(run.model, run.weights) for name in layer.names}
    assert named and all(".lora_" in name or name.startswith("head.") for name in named)


def test_every_batch_of_d_f_chooses_and_steps_by_itself(monkeypatch):
    seen = []
    monkeypatch.setattr("mubench.methods.l_codec.foci", lambda y, x, most: seen.append((y, x)) or [0])
    run = two_run(method := LCodec(perturbations=7, units=2), batch_size=1)
    method.unlearn(run)
    assert [tuple(x.shape) for _, x in seen] == [(7, 8), (7, 8)]
    assert all(len(y.unique()) == 7 for y, _ in seen)  # other noise each time
    assert not torch.equal(seen[0][1], seen[1][1])
