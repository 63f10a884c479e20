"""Losses on D_f of their own, on a linear model of three classes: each step worked out in NumPy."""

import numpy as np
import pytest
import torch
from tiny import LABELS, LR, START, ce_gradient, features, finish, kl_gradient, softmax, tiny_run, unlearn

from mubench import divergence
from mubench.data import Batch
from mubench.errors import UsageError
from mubench.methods.ce_u import CEU
from mubench.methods.delete import Delete
from mubench.methods.kl_min import KLMin
from mubench.methods.l1_sparse import L1Sparse
from mubench.methods.npo import NPO
from mubench.methods.successive_random_labels import SuccessiveRandomLabels

FORGET, RETAIN = [0, 1], [2, 3]  # of one size: the paired sample of D_r is all of it


def agree(found, expected):
    np.testing.assert_allclose(found, expected, rtol=0, atol=5e-7)


def without_label(weight: np.ndarray) -> np.ndarray:
    """softmax over the other classes alone, (n, 3): exactly 0 at the label."""
    e = np.exp(features(FORGET) @ weight.T) * (1 - np.eye(3)[LABELS[FORGET]])
    return e / e.sum(axis=1, keepdims=True)


def pull(weight: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Gradient of mean KL(target || p_weight) on D_f."""
    x = features(FORGET)
    return (softmax(x @ weight.T) - target).T @ x / len(x)


def test_delete_distils_the_original_without_the_label():
    target, weight = without_label(START), START
    assert (target[np.arange(2), LABELS[FORGET]] == 0).all()
    for _ in range(3):
        weight = weight - LR * pull(weight, target)
    agree(unlearn(Delete(), FORGET, RETAIN, epochs=3), weight)


def test_ce_u_distils_the_models_own_view_of_each_moment():
    weight = START
    for _ in range(3):
        weight = weight - LR * pull(weight, without_label(weight))
    found = unlearn(CEU(), FORGET, RETAIN, epochs=3)
    agree(found, weight)
    assert not np.allclose(found, unlearn(Delete(), FORGET, RETAIN, epochs=3), atol=1e-6)


def test_a_label_without_mass_costs_neither_a_number_nor_a_gradient():
    """0 log 0 is 0: the loss is -log(1 - p_y) where the teacher is the student itself."""
    scores = torch.tensor([[1.0, 2.0, -1.0]], dtype=torch.float64, requires_grad=True)
    taught = divergence.lowered(scores.detach(), torch.tensor([1]), float("inf"))
    assert torch.equal(taught, torch.tensor([[1.0, -torch.inf, -1.0]], dtype=torch.float64))
    found = divergence.kl(taught, scores)
    found.sum().backward()
    p = scores.detach().softmax(-1)[0]
    assert found.item() == pytest.approx(-np.log(1 - p[1].item()), abs=1e-12)
    q = torch.tensor([p[0], 0, p[2]]) / (p[0] + p[2])
    torch.testing.assert_close(scores.grad[0], p - q)


def npo_step(weight: np.ndarray, beta: float, whole_batch: bool = False) -> np.ndarray:
    """Gradient of (2 / beta) mean log(1 + (p / p0)^beta); or, wrongly, of one ratio for the batch."""
    x, y = features(FORGET), LABELS[FORGET]
    p, p0 = softmax(x @ weight.T), softmax(x @ START.T)
    ratio = np.log(p[np.arange(2), y] / p0[np.arange(2), y])
    ratio = np.full(2, ratio.mean()) if whole_batch else ratio
    weighing = 2 / (1 + np.exp(-beta * ratio))
    return (weighing[:, None] * (np.eye(3)[y] - p)).T @ x / 2


def test_npo_weighs_every_example_by_its_own_ratio():
    weight = wrong = START
    for _ in range(4):
        weight = weight - LR * npo_step(weight, 3.0)
        wrong = wrong - LR * npo_step(wrong, 3.0, whole_batch=True)
    found = unlearn(NPO(beta=3.0), FORGET, RETAIN, epochs=4)
    agree(found, weight)
    assert not np.allclose(found, wrong, atol=1e-4)


def test_npo_reads_the_retain_set_only_where_it_counts():
    assert NPO().reads == {"forget"} and NPO(alpha=2.0).reads == {"forget", "retain"}
    assert set(tiny_run(NPO(), FORGET, RETAIN).rows) == {"forget"}
    expected = START - LR * (npo_step(START, 0.1) + 2 * ce_gradient(START, RETAIN))
    agree(unlearn(NPO(alpha=2.0), FORGET, RETAIN), expected)


def test_kl_min_ascends_on_d_f_and_stays_near_the_original_on_d_r():
    """At w0 the second term and its gradient are 0; after a step it pulls."""
    weight = START
    for _ in range(2):
        gradient = 3 * kl_gradient(START, weight, RETAIN) - 2 * ce_gradient(weight, FORGET)
        weight = weight - LR * gradient
    agree(unlearn(KLMin(gamma=2.0, alpha=3.0), FORGET, RETAIN, epochs=2), weight)


def test_l1_sparse_penalises_less_each_epoch_and_then_not_at_all():
    weight, penalties = START, []
    for epoch in range(5):
        penalties.append(0.1 * max(0, 1 - epoch / 3))
        weight = weight - LR * (ce_gradient(weight, RETAIN) + penalties[-1] * np.sign(weight))
    np.testing.assert_allclose(penalties, [0.1, 0.2 / 3, 0.1 / 3, 0, 0])
    agree(unlearn(L1Sparse(a=0.1, rest=2), FORGET, RETAIN, epochs=5), weight)


def test_l1_sparse_refuses_a_rest_that_leaves_nothing_to_penalise():
    with pytest.raises(UsageError, match="leaves none of 5 epochs"):
        unlearn(L1Sparse(rest=5), FORGET, RETAIN, epochs=5)


def test_successive_random_labels_are_others_each_epoch():
    forget, retain = [0, 1, 4, 5], [2, 3]
    method = SuccessiveRandomLabels()
    run, rows = tiny_run(method, forget, retain, epochs=2), forget + retain
    batch = Batch({}, torch.from_numpy(LABELS[rows]), torch.tensor(rows))
    weight, drawn = START, []
    for epoch in range(2):
        run._fit = type("Fit", (), {"passed": epoch})()
        drawn.append(run.relabel(batch, "epoch").targets.numpy())
        weight = weight - LR * ce_gradient(weight, rows, drawn[-1])
    assert (drawn[0] != drawn[1]).any()
    assert all((labels[:4] != LABELS[forget]).all() for labels in drawn)
    agree(finish(method, tiny_run(method, forget, retain, epochs=2)), weight)
