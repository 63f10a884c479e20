"""SuperLoss against SciPy and its formula; what it does to methods; what a checkpoint keeps of it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.special import lambertw

from mubench.curricula.base import Uniform
from mubench.curricula.lambert import lambert_w
from mubench.curricula.superloss import SuperLoss, confidence
from mubench.errors import NotApplicable, UsageError

LOSSES = [[0.1, 2.0, 5.0, 0.0], [0.7, 9.0], [300.0, 0.2, 1.5]]


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_lambert_w_agrees_with_scipy_over_its_range(kind):
    """From the branch point, where W changes by the square root of any error, to 1e38."""
    edge = -1 / math.e
    x = np.concatenate([edge + np.logspace(-15, 0, 4000), -np.logspace(-40, -0.45, 2000),
                        np.logspace(-40, 38, 4000), [0.0, 1.0, math.e]]).astype(kind)  # fmt: skip
    x = x[x.astype(np.float64) > edge]
    expected = lambertw(x.astype(np.float64)).real
    found = lambert_w(torch.from_numpy(x)).numpy()
    assert found.dtype == kind and np.isfinite(found).all()
    assert (np.abs(found - expected) <= 1e-6 * np.maximum(1, np.abs(expected))).all()


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_lambert_w_at_the_branch_point_and_below_is_minus_one(kind):
    found = lambert_w(torch.tensor([-1 / math.e, -1.0, -1e9], dtype=kind))
    torch.testing.assert_close(
        found, -torch.ones(3, dtype=kind), rtol=0, atol=5e-4 if kind == torch.float32 else 1e-7
    )


def weight_of(loss: float, tau: float, lam: float) -> float:
    w = lambertw(max(-2 / math.e, (loss - tau) / lam) / 2).real
    return math.exp(-np.nan_to_num(w, nan=-1.0))  # SciPy has no number at the branch point itself


def test_each_term_has_a_running_mean_of_its_own_with_the_present_batch_in_it():
    curriculum, seen = SuperLoss(lam=2.0), {"forget": [], "retain": []}
    curriculum.begin(0)
    for losses, term in zip(LOSSES, ("forget", "retain", "forget"), strict=True):
        seen[term] += losses
        tau = float(np.mean(seen[term]))
        expected = []
        for loss in losses:
            s = weight_of(loss, tau, 2.0)
            expected.append((loss - tau) * s + 2.0 * math.log(s) ** 2)
        found = curriculum.reduce(torch.tensor(losses, dtype=torch.float64), term)
        assert float(found) == pytest.approx(np.mean(expected), abs=1e-9)


def test_a_new_training_begins_with_nothing_seen():
    curriculum = SuperLoss()
    first = curriculum.reduce(torch.tensor(LOSSES[0]), "forget")
    curriculum.reduce(torch.tensor(LOSSES[2]), "forget")
    curriculum.begin(10)
    assert torch.equal(curriculum.reduce(torch.tensor(LOSSES[0]), "forget"), first)


@pytest.mark.parametrize(("tau", "value"), [("log_classes", math.log(10)), ("1.25", 1.25)])
def test_tau_may_be_fixed(tau, value):
    curriculum = SuperLoss(tau=tau)
    curriculum.begin(10)
    for losses in LOSSES:
        weights = [weight_of(loss, value, 10.0) for loss in losses]
        pairs = zip(losses, weights, strict=True)
        expected = np.mean([(loss - value) * s + 10 * math.log(s) ** 2 for loss, s in pairs])
        found = curriculum.reduce(torch.tensor(losses, dtype=torch.float64), "forget")
        assert float(found) == pytest.approx(expected, abs=1e-9)


def test_the_weight_is_where_sl_is_least_and_so_its_derivative():
    """Against a search over s; the gradient against differences of SL, s chosen anew at each loss."""
    grid = np.linspace(1e-3, math.e, 400_001)
    for loss in (0.3, 1.0, 4.0, 20.0):
        best = grid[np.argmin((loss - 1.0) * grid + 3.0 * np.log(grid) ** 2)]
        s = float(confidence(torch.tensor([loss], dtype=torch.float64), 1.0, 3.0))
        assert s == pytest.approx(best, abs=1e-4)
        x = torch.tensor([loss], dtype=torch.float64, requires_grad=True)
        curriculum = SuperLoss(lam=3.0, tau="1.0")
        curriculum.reduce(x, "").backward()
        with torch.no_grad():
            up, down = (curriculum.reduce(x + step, "") for step in (1e-5, -1e-5))
        assert float(x.grad) == pytest.approx(s) == pytest.approx(float(up - down) / 2e-5, abs=1e-6)


def test_easy_examples_count_more_up_to_e_and_hard_ones_less():
    s = confidence(torch.tensor([-1e6, 0.5, 1.0, 5.0, 1e6]), 1.0, 1.0)
    assert (s[1:] < s[:-1]).all() and float(s[0]) == pytest.approx(math.e, rel=1e-3) and float(s[2]) == 1
    near = confidence(torch.tensor([0.0, 5.0]), 1.0, 1e6)
    torch.testing.assert_close(near, torch.ones(2), rtol=0, atol=1e-4)


def test_uniform_is_the_mean_to_the_bit():
    losses = torch.randn(1001)
    assert torch.equal(Uniform().reduce(losses, "forget"), losses.mean())


def test_half_precision_is_left_before_anything_is_weighed():
    assert SuperLoss().reduce(torch.tensor([1.0, 3.0], dtype=torch.bfloat16), "").dtype == torch.float32


def test_its_state_goes_through_a_file(tmp_path):
    one, other = SuperLoss(), SuperLoss()
    one.reduce(torch.tensor(LOSSES[0]), "forget")
    one.reduce(torch.tensor(LOSSES[1]), "retain")
    torch.save(one.state_dict(), tmp_path / "state.pt")
    other.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    for term in ("forget", "retain", "new"):
        losses = torch.tensor(LOSSES[2])
        assert torch.equal(one.reduce(losses, term), other.reduce(losses, term))


@pytest.mark.parametrize("settings", [{"lam": 0}, {"tau": "median"}, {"tau": "nan"}])
def test_wrong_settings_are_refused(settings):
    with pytest.raises(UsageError, match="curriculum"):
        SuperLoss(**settings)


def test_log_k_is_refused_where_there_are_no_classes():
    SuperLoss(tau="log_classes").check(frozenset({"losses", "classes"}))
    with pytest.raises(NotApplicable, match="tau=log_classes needs classes; this task gives losses, tokens"):
        SuperLoss(tau="log_classes").check(frozenset({"losses", "tokens"}))
