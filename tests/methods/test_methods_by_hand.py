"""One step of every method, worked out in NumPy from the paper's formula."""

import numpy as np
import pytest
import torch
from tiny import ADAMW, LABELS, LR, START, ce_gradient, columns, finish, kl_gradient, tiny_run, unlearn

from mubench.data import Batch
from mubench.methods.bad_teaching import BadTeaching
from mubench.methods.finetune import Finetune
from mubench.methods.grad_diff import GradDiff
from mubench.methods.neggrad import NegGrad
from mubench.methods.neggrad_plus import NegGradPlus
from mubench.methods.original import Original
from mubench.methods.random_label import RandomLabel
from mubench.methods.retrain import Retrain
from mubench.methods.salun import SalUn, saliency_mask
from mubench.methods.scrub import Scrub

FORGET, RETAIN = [0, 1], [2, 3]  # of one size: the paired sample of D_r is all of it


def agree(found, expected):
    np.testing.assert_allclose(found, expected, rtol=0, atol=5e-7)


def test_original_and_retrain_leave_the_weights_to_the_bit():
    for method in (Original(), Retrain()):
        assert np.array_equal(unlearn(method, FORGET, RETAIN), START)
    assert Retrain.starts_from == "retrained"


def test_finetune_descends_on_d_r():
    agree(unlearn(Finetune(), FORGET, RETAIN), START - LR * ce_gradient(START, RETAIN))


def test_neggrad_ascends_on_d_f_only():
    agree(unlearn(NegGrad(), FORGET, RETAIN), START + LR * ce_gradient(START, FORGET))


def test_neggrad_plus_weighs_descent_and_ascent():
    expected = START - LR * (0.9 * ce_gradient(START, RETAIN) - 0.1 * ce_gradient(START, FORGET))
    agree(unlearn(NegGradPlus(alpha=0.9), FORGET, RETAIN), expected)


def test_grad_diff_adds_both_terms():
    expected = START - LR * (2 * ce_gradient(START, RETAIN) - 3 * ce_gradient(START, FORGET))
    agree(unlearn(GradDiff(gamma=3, alpha=2), FORGET, RETAIN), expected)


def test_random_label_descends_on_wrong_labels_of_d_f_and_true_ones_of_d_r():
    method = RandomLabel()
    run = tiny_run(method, FORGET, RETAIN)
    batch = Batch({}, torch.from_numpy(LABELS[FORGET + RETAIN]), torch.tensor(FORGET + RETAIN))
    labels = run.relabel(batch).targets.numpy()
    assert (labels[:2] != LABELS[FORGET]).all() and (labels[2:] == LABELS[RETAIN]).all()
    agree(finish(method, run), START - LR * ce_gradient(START, FORGET + RETAIN, labels))


def test_random_labels_are_uniform_over_the_wrong_classes_and_redrawn_only_if_asked():
    run = tiny_run(RandomLabel(), FORGET, RETAIN)
    targets = torch.zeros(30_000, dtype=torch.int64)
    drawn = run.modality.relabel(targets, targets, 4, torch.Generator().manual_seed(0))
    counts = torch.bincount(drawn, minlength=4)
    assert counts[0] == 0
    assert (counts[1:] - 10_000).abs().max() < 400  # five standard deviations
    batch = Batch({}, torch.from_numpy(LABELS), torch.arange(6))
    run = tiny_run(RandomLabel(), list(range(6)), [0])
    first = run.relabel(batch, "epoch").targets
    assert torch.equal(first, run.relabel(batch, "once").targets)
    run._fit = type("Fit", (), {"passed": 1})()
    assert not torch.equal(first, run.relabel(batch, "epoch").targets)
    assert torch.equal(first, run.relabel(batch, "once").targets)


def test_bad_teaching_pulls_d_f_to_a_fresh_model_and_d_r_to_the_original():
    """At w0 the second term and its gradient are 0; after a step both pull."""
    method = BadTeaching(temperature=2.0)
    run = tiny_run(method, FORGET, RETAIN, epochs=2)
    bad = run.fresh_model().weight.numpy().astype(np.float64)
    assert not np.allclose(bad, START)
    weight = START
    for _ in range(2):
        pull = kl_gradient(bad, weight, FORGET, 2.0) + kl_gradient(START, weight, RETAIN, 2.0)
        weight = weight - LR * pull
    agree(finish(method, run), weight)


def test_scrub_takes_max_and_min_passes_in_turns():
    """KL is scaled by T^2; msteps 2 of 3 epochs: max, min, max, min, min."""
    weight = START
    for kind in ("max", "min", "max", "min", "min"):
        if kind == "max":
            weight = weight + LR * 9 * kl_gradient(START, weight, FORGET, 3.0)
        else:
            pull = 0.5 * 9 * kl_gradient(START, weight, RETAIN, 3.0) + 2 * ce_gradient(weight, RETAIN)
            weight = weight - LR * pull
    method = Scrub(alpha=0.5, gamma=2.0, temperature=3.0, msteps=2)
    agree(unlearn(method, FORGET, RETAIN, epochs=3), weight)


def test_scrub_rewinds_to_the_epoch_whose_forget_error_is_nearest_to_validations():
    """Every epoch's weights are candidates; the target is the final model's error on D_f's labels."""
    validation = columns(labels=(LABELS + 1) % 3)
    plain, kept = Scrub(msteps=3), []
    for epochs in (1, 2, 3):
        run = tiny_run(plain, FORGET, RETAIN, validation, epochs=epochs, lr=8.0)
        kept.append((finish(plain, run), run.error("forget")))
    rewinding = Scrub(msteps=3, rewind=True)
    assert rewinding.reads == {"forget", "retain", "validation"}
    run = tiny_run(rewinding, FORGET, RETAIN, validation, epochs=3, lr=8.0)
    found = finish(rewinding, run)
    last = tiny_run(rewinding, FORGET, RETAIN, validation)
    with torch.no_grad():
        last.model.weight.copy_(torch.from_numpy(kept[-1][0]))
    target = last.error("validation", labels_of="forget")
    nearest = min(kept, key=lambda epoch: abs(epoch[1] - target))
    agree(found, nearest[0])


def test_salun_masks_the_largest_gradients_over_all_weights_together():
    gradient = np.abs(ce_gradient(START, FORGET))
    mask = gradient >= np.sort(gradient.flatten())[-3]
    method = SalUn(ratio=0.25)  # 3 of 12 weights
    run = tiny_run(method, FORGET, RETAIN)
    method.prepare(run)
    assert np.array_equal(method._mask["weight"].numpy(), mask)
    batch = Batch({}, torch.from_numpy(LABELS[FORGET + RETAIN]), torch.tensor(FORGET + RETAIN))
    labels = run.relabel(batch).targets.numpy()
    method.unlearn(run)
    expected = START - LR * mask * ce_gradient(START, FORGET + RETAIN, labels)
    agree(run.model.weight.detach().numpy(), expected)


@pytest.mark.parametrize("batch_size", [1, 2, 64])
def test_saluns_gradient_is_that_of_the_whole_forget_set_whatever_the_batches(batch_size):
    """The first batch counts like the others."""
    run = tiny_run(SalUn(), [0, 1, 4, 5, 2], [3], batch_size=batch_size)
    found = run.gradients("forget")["weight"].numpy()
    agree(found, ce_gradient(START, [0, 1, 4, 5, 2]))


@pytest.mark.parametrize(
    "optimizer", [ADAMW, {"name": "sgd", "_target_": "torch.optim.SGD", "momentum": 0.9}]
)
def test_saluns_other_weights_keep_their_bits_under_decay_and_momentum(optimizer):
    method = SalUn(ratio=0.5)
    run = tiny_run(method, FORGET, RETAIN, epochs=5, weight_decay=0.1, optimizer=optimizer, clip=0.1)
    found, mask = finish(method, run), method._mask["weight"].numpy()
    assert np.array_equal(found[~mask], START[~mask])
    assert (found[mask] != START[mask]).all()


def test_the_saliency_mask_holds_exactly_its_share_even_among_ties():
    gradients = {"a": torch.zeros(3, 3), "b": torch.tensor([0.0, -2.0, 1.0])}
    for ratio, count in ((0.1, 1), (0.25, 3), (0.5, 6), (1.0, 12)):
        mask = saliency_mask(gradients, ratio)
        assert sum(int(part.sum()) for part in mask.values()) == count
        assert mask["b"][1]
    assert mask["a"].shape == (3, 3)
