"""The methods of Deep Unlearn (2410.01276) and of Goel et al., worked out in NumPy from their formulas."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from families import FAMILIES
from tiny import LR, PIXELS, columns, features, softmax
from tiny_conv import (
    FORGET,
    HEAD,
    KERNEL,
    RETAIN,
    back,
    ce_slope,
    ce_step,
    conv_run,
    entropy,
    entropy_slope,
    family_run,
    finish,
    fresh_of,
    kl_slope,
    scores,
    weights_of,
)
from torch import nn
from transformers.pytorch_utils import Conv1D

from mubench import anatomy
from mubench.errors import UsageError
from mubench.methods.cf_k import CFk
from mubench.methods.cfw import CFW, class_weights
from mubench.methods.ct import CT, disturbed
from mubench.methods.eu_k import EUk
from mubench.methods.fcs import FCS
from mubench.methods.kde import KDE
from mubench.methods.msg import MSG
from mubench.methods.prmq import PRMQ
from mubench.methods.renewal import head_weights
from mubench.methods.rni import RNI, layers

DRAW = 7 * 1_000_003 + 900_001  # the first generator of a run whose seed is 7


def agree(found, expected):
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)


def noise(number: int, *shapes) -> list[np.ndarray]:
    generator = torch.Generator().manual_seed(DRAW + number)
    return [torch.randn(shape, generator=generator).double().numpy() for shape in shapes]


# CF-k and EU-k ---------------------------------------------------------------------------------


def test_cf_k_steps_on_the_head_alone_and_eu_k_from_a_fresh_one():
    """k = 0: the kernel rests."""
    run = conv_run(CFk(k=0))
    agree(finish(CFk(k=0), run), (KERNEL, ce_step(KERNEL, HEAD, RETAIN)[1]))
    run = conv_run(EUk(k=0))
    fresh = fresh_of(run)[1]
    agree(finish(EUk(k=0), run), (KERNEL, ce_step(KERNEL, fresh, RETAIN)[1]))


def test_cf_k_and_eu_k_reach_k_blocks_back():
    run = conv_run(CFk(k=1))
    agree(finish(CFk(k=1), run), ce_step(KERNEL, HEAD, RETAIN))
    run = conv_run(EUk(k=1))
    agree(finish(EUk(k=1), run), ce_step(*fresh_of(run), RETAIN))


@pytest.mark.parametrize("method", [CFk(k=1), EUk(k=1)])
def test_before_the_last_blocks_every_weight_and_statistic_keeps_its_bits(method):
    run = family_run(method, weight_decay=0.1)
    start = {name: value.clone() for name, value in run.model.state_dict().items()}
    method.unlearn(run)
    end = run.model.state_dict()
    moved = {name for name in start if not torch.equal(start[name], end[name])}
    assert all(name.startswith(("stages.1.", "head.")) for name in moved)
    assert {name for name in start if name.startswith(("stages.1.", "head."))} == moved
    assert any("running_mean" in name for name in moved)


def test_eu_k_forgets_the_statistics_of_the_last_blocks():
    """With no step taken, what it leaves is the fresh network's, statistics included."""
    method = EUk(k=1)
    run = family_run(method, epochs=0)
    with torch.no_grad():
        for buffer in run.model.buffers():
            buffer.add_(3)
    before = {name: value.clone() for name, value in run.model.state_dict().items()}
    fresh = run.fresh_weights()
    method.unlearn(run)
    for name, value in run.model.state_dict().items():
        last = name.startswith(("stages.1.", "head."))
        assert torch.equal(value, (fresh if last else before)[name]), name


def test_a_head_that_shares_the_embeddings_weight_rests():
    run = family_run(CFk(k=1), "text_generation")
    names, last = CFk(k=1).names(run), anatomy.blocks(run.model)[-1][0]
    assert names and all(name.startswith(f"{last}.") for name in names)
    assert head_weights(run) == set()


# CT --------------------------------------------------------------------------------------------


def test_ct_transposes_each_kernel_and_descends_on_d_r():
    run = conv_run(CT())
    transposed = KERNEL.reshape(2, 2, 2).swapaxes(1, 2).reshape(2, 4)
    agree(finish(CT(), run), ce_step(transposed, HEAD, RETAIN))


def test_ct_of_other_layers():
    draw = torch.Generator()
    values = torch.arange(24.0)
    oblong, line, cube = values.view(2, 2, 2, 3), values.view(2, 3, 4), values.view(1, 1, 6, 2, 2)
    assert torch.equal(disturbed(nn.Conv2d(2, 2, (2, 3)), oblong, draw), oblong.flip(2, 3))
    assert torch.equal(disturbed(nn.Conv1d(3, 2, 4), line, draw), line.flip(2))
    assert torch.equal(disturbed(nn.Conv3d(1, 1, (6, 2, 2)), cube, draw), cube.transpose(3, 4))
    matrix = values.view(6, 4)
    order = torch.randperm(6, generator=draw.manual_seed(1))
    assert torch.equal(disturbed(nn.Linear(4, 6), matrix, draw.manual_seed(1)), matrix[order])
    assert torch.equal(disturbed(Conv1D(6, 4), matrix.T, draw.manual_seed(1)), matrix.T[:, order])


# CFW -------------------------------------------------------------------------------------------


def test_cfw_weighs_each_example_and_adds_noise_twice():
    """Labels of D_r are 2, 0, 1, 2: the classes weigh 4/3, 4/3 and 2/3, example by example."""
    rows = [2, 3, 4, 5]
    method = CFW(sigma=0.3, last=0.1)
    run = conv_run(method, retain=rows, epochs=3)
    assert np.allclose(class_weights(run).numpy(), [4 / 3, 4 / 3, 2 / 3])
    weights = np.array([2 / 3, 4 / 3, 4 / 3, 2 / 3])
    kernel, head = KERNEL + 0.3 * noise(0, (2, 1, 2, 2))[0].reshape(2, 4), HEAD
    for _ in range(2):
        kernel, head = ce_step(kernel, head, rows, weights)
    kernel = kernel + 0.1 * noise(1, (2, 1, 2, 2))[0].reshape(2, 4)
    agree(finish(method, run), ce_step(kernel, head, rows, weights))


def test_cfw_counts_only_classes_that_d_r_has():
    run = conv_run(CFW(), retain=[0, 3, 1])
    assert np.allclose(class_weights(run).numpy()[:2], [3 / 4, 3 / 2])


# PRMQ ------------------------------------------------------------------------------------------


def test_prmq_begins_the_smallest_weights_afresh_and_keeps_the_entropy():
    method = PRMQ(pruned=0.5, entropy=2.0)
    run = conv_run(method, epochs=2)
    fresh = fresh_of(run)[0]
    kept = np.abs(KERNEL) >= np.sort(np.abs(KERNEL).flatten())[4]
    x, target = features(RETAIN), entropy(scores(KERNEL, HEAD, features(RETAIN)))
    kernel, head = np.where(kept, KERNEL, fresh), HEAD
    for _ in range(2):
        z = scores(kernel, head, x)
        gap = 2 * (entropy(z) - target)[:, None] * entropy_slope(z) / len(RETAIN)
        slopes = back(kernel, head, x, ce_slope(kernel, head, RETAIN) + 2.0 * gap)
        kernel, head = kernel - LR * slopes[0], head - LR * slopes[1]
    agree(finish(method, run), (kernel, head))


def test_the_entropies_of_tokens_are_compared_at_each_label():
    """Entropies 1 above at one token and 1 below at another do not cancel; padding has no part."""
    modality = FAMILIES["text_generation"]().modality
    draw = torch.Generator().manual_seed(0)
    teacher, student = (torch.randn(2, 3, 12, generator=draw).double() for _ in range(2))
    targets = torch.tensor([[4, 5, -100], [6, -100, -100]])
    found = modality.entropy_gap(teacher, student, targets)
    apart = np.square(
        [entropy(s.numpy()) - entropy(t.numpy()) for t, s in zip(teacher, student, strict=True)]
    )
    np.testing.assert_allclose(found, [(apart[0][0] + apart[0][1]) / 2, apart[1][0]], atol=1e-12)


def test_where_noise_is_predicted_the_predictions_are_compared():
    modality = FAMILIES["text_to_image"]().modality
    teacher, student = torch.ones(2, 1, 3, 2, 2), torch.zeros(2, 1, 3, 2, 2)
    assert modality.entropy_gap(teacher, student, torch.zeros(2)).tolist() == [1, 1]


# KDE -------------------------------------------------------------------------------------------


def test_kde_distils_validation_data_then_learns_d_r_beside_twice_the_divergence():
    """Validation rows have numbers that D_r's have too: their teacher's outputs are not mixed up."""
    validation = columns(PIXELS[::-1].copy())
    method = KDE(temperature=2.0, warmup=2)
    run = conv_run(method, validation, epochs=2)
    kernel, head = fresh_of(run)
    x = features([5, 4, 3, 2, 1, 0])
    for rows, own in ((None, 0.0), (None, 0.0), (RETAIN, 1.0), (RETAIN, 1.0)):
        seen = x if rows is None else features(rows)
        taught, mine = scores(KERNEL, HEAD, seen), scores(kernel, head, seen)
        slope = kl_slope(taught, mine, 2.0) * (1 if rows is None else 2)
        if own:
            slope = slope + ce_slope(kernel, head, RETAIN)
        slopes = back(kernel, head, seen, slope)
        kernel, head = kernel - LR * slopes[0], head - LR * slopes[1]
    agree(finish(method, run), (kernel, head))


def test_kde_without_a_step_leaves_fresh_ends_and_the_rest():
    method = KDE(warmup=0)
    run = family_run(method, epochs=0)
    before = {name: value.clone() for name, value in run.model.state_dict().items()}
    method.prepare(run)
    fresh = run.fresh_weights()
    method.unlearn(run)
    for name, value in run.model.state_dict().items():
        new = name.startswith(("stem.", "head."))
        assert torch.equal(value, (fresh if new else before)[name]), name


# MSG -------------------------------------------------------------------------------------------


def test_msg_begins_the_smallest_gradients_afresh_and_slows_the_kernels_others():
    method = MSG(share=0.5, slow=0.1)
    run = conv_run(method, retain=[2, 3], epochs=2)  # as many as D_f: the sample is all of D_r
    gradients = [back(KERNEL, HEAD, features(r), ce_slope(KERNEL, HEAD, r))[0] for r in ([2, 3], FORGET)]
    size = np.abs(gradients[0] - gradients[1])
    renewed = size < np.sort(size.flatten())[4]
    kernel, head = np.where(renewed, fresh_of(run)[0], KERNEL), HEAD
    for _ in range(2):
        slopes = back(kernel, head, features([2, 3]), ce_slope(kernel, head, [2, 3]))
        kernel = kernel - LR * np.where(renewed, 1, 0.1) * slopes[0]
        head = head - LR * slopes[1]
    agree(finish(method, run), (kernel, head))


def test_msgs_slowness_is_felt_under_adam_too():
    """A scaled gradient would not be: Adam divides by its size."""
    moved = []
    for slow in (0.1, 1.0):
        method = MSG(share=0.5, slow=slow)
        run = conv_run(method, optimizer={"name": "adam", "_target_": "torch.optim.Adam"}, lr=0.01)
        kept = ~_prepared(method, run).reshape(2, 4)
        moved.append(np.abs(weights_of(run)[0] - KERNEL)[kept])
    np.testing.assert_allclose(moved[0], 0.1 * moved[1], rtol=1e-6)


def _prepared(method: MSG, run) -> np.ndarray:
    method.prepare(run)
    method.unlearn(run)
    return method._renewed["conv.weight"].numpy()


# RNI -------------------------------------------------------------------------------------------


def test_rni_trains_the_drawn_layers_under_noise_then_all():
    method = RNI(share=0.5, noisy=1.0, sigma=0.3, last=1)
    run = conv_run(method, epochs=4)
    parts = {"conv": KERNEL, "head": fresh_of(run)[1]}
    drawn = set()
    for epoch in range(4):
        generator = torch.Generator().manual_seed(DRAW + epoch)
        name = ("conv", "head")[int(torch.randperm(2, generator=generator)[0])]
        drawn.add(name)
        shape = (2, 1, 2, 2) if name == "conv" else (3, 2)
        shift = torch.randn(shape, generator=generator).double().numpy().reshape(parts[name].shape)
        parts[name] = parts[name] + 0.3 * shift
        kernel, head = ce_step(parts["conv"], parts["head"], RETAIN)
        parts[name] = {"conv": kernel, "head": head}[name]
    assert drawn == {"conv", "head"}
    agree(finish(method, run), ce_step(parts["conv"], parts["head"], RETAIN))


def test_rni_takes_normalisations_along_in_every_epoch():
    method = RNI()
    run = family_run(method)
    found, always = layers(run)
    assert len(found) == 7 and all("norm" not in name for layer in found for name in layer)
    assert always and always.isdisjoint(name for layer in found for name in layer)
    assert always | {name for layer in found for name in layer} == set(run.weights)
    assert ["head.weight", "head.bias"] in found


# FCS -------------------------------------------------------------------------------------------


def test_fcs_flattens_d_f_then_pushes_it_from_d_r_in_turns_with_descent():
    method = FCS(temperature=0.8, contrast=0.5)
    run = conv_run(method, retain=[2, 3], epochs=2)
    kernel, head = KERNEL, HEAD
    f, r = features(FORGET), features([2, 3])

    def step(kernel, head, x, slope):
        slopes = back(kernel, head, x, slope)
        return kernel - LR * slopes[0], head - LR * slopes[1]

    kernel, head = step(kernel, head, f, -entropy_slope(scores(kernel, head, f)) / 2)
    for _ in range(2):
        zf, zr = scores(kernel, head, f), scores(kernel, head, r)
        # of -mean_r log softmax_r(z_f z_r / tau): (softmax - 1 / R) z_r / tau, z_r a constant
        pull = (softmax(zf @ zr.T / 0.8) - 1 / 2) @ zr / 0.8 / 2
        kernel, head = step(kernel, head, f, 0.5 * pull)
        kernel, head = ce_step(kernel, head, [2, 3])
    agree(finish(method, run), (kernel, head))


# What all of them refuse -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "build",
    [lambda: CFk(k=-1), lambda: CFW(sigma=-1), lambda: PRMQ(pruned=1), lambda: KDE(temperature=0),
     lambda: MSG(share=1), lambda: MSG(slow=2), lambda: RNI(share=0), lambda: RNI(noisy=2),
     lambda: FCS(temperature=0)],
)  # fmt: skip
def test_settings_outside_their_range_are_refused(build):
    with pytest.raises(UsageError, match="method"):
        build()
