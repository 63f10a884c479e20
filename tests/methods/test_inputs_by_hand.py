"""Methods that move inputs: JiT, the two boundaries, UNSIR; each step worked out in NumPy."""

import numpy as np
import pytest
import torch
from families import FAMILIES, family_run
from tiny import LABELS, LR, START, ce_gradient, features, finish, softmax, tiny_run
from torch import nn

from mubench import anatomy
from mubench.methods.boundary_expand import BoundaryExpand
from mubench.methods.boundary_shrink import BoundaryShrink
from mubench.methods.jit import JiT
from mubench.methods.unsir import Unsir
from mubench.modalities import signals

FORGET, RETAIN = [0, 1], [2, 3]


def agree(found, expected):
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def first_batch(run, name="forget"):
    return run.prepare(next(iter(run.stream(name).batches(None))))


# JiT ---------------------------------------------------------------------------------------------


def test_jit_descends_the_slope_between_an_input_and_a_shaken_one():
    """f = W x: d |W e| / |e| / dW = (W e) e^T / (|W e| |e|), whatever x is."""
    method = JiT(sigma=0.7, samples=3)
    run = tiny_run(method, [1], RETAIN)
    x = features([1])[0]
    generator, expected = run.generator(1 + 1), np.zeros_like(START)  # of epoch 0, row 1
    for _ in range(3):
        draw = torch.randn(1, 1, 2, 2, generator=generator).numpy().ravel().astype(np.float64)
        noise = 0.7 * x.std() * draw
        moved = START @ noise
        expected += np.outer(moved, noise) / np.linalg.norm(moved) / np.linalg.norm(noise) / 3
    found = finish(method, run)
    np.testing.assert_allclose(found, START - LR * expected, rtol=0, atol=1e-6)


def test_jit_draws_other_noise_in_the_next_epoch():
    slopes = []
    method = JiT(samples=1)
    run = tiny_run(method, [1], RETAIN)
    for passed in (0, 1):
        run._fit = type("Fit", (), {"passed": passed})()
        slopes.append(method.loss(run, first_batch(run)).item())
    assert slopes[0] != slopes[1]


def test_noise_on_texts_lies_on_the_prompts_own_tokens():
    """The padding of a prompt is not shaken, and the given embeddings are those the model reads."""
    run = family_run(JiT(), "text_generation")
    model = run.model.double().eval()
    batch = first_batch(run)
    batch.inputs["prompt_mask"][0, :2] = 0
    signal = run.modality.signal(model, batch)
    assert (signal.deviation[0, :2] == 0).all() and (signal.deviation[0, 2:] > 0).all()
    own = signal.values[0, 2:].detach().numpy()
    assert np.isclose(float(signal.deviation[0, 2].detach()), own.std())
    same = run.modality.logits_at(model, batch, signal.values)
    assert torch.equal(same, run.modality.logits(model, batch))
    moved = run.modality.logits_at(model, batch, signal.values.flip(-1))
    assert not torch.allclose(moved, same)
    assert torch.equal(run.modality.logits(model, batch), same)  # the hook is gone


@pytest.mark.parametrize("family", ["t5", "bart"])
def test_behind_an_encoder_only_what_the_encoder_reads_is_moved(family):
    from mubench.networks.pretrained import from_config

    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2}
    layers = {"encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 8, "decoder_ffn_dim": 8}
    sizes = {"t5": {"d_model": 8, "d_ff": 8, "d_kv": 4, "num_layers": 1, "num_heads": 2},
             "bart": {"d_model": 8, **layers, **heads}}[family]  # fmt: skip
    special = {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 1, "decoder_start_token_id": 0}
    torch.manual_seed(0)
    model = from_config("AutoModelForSeq2SeqLM", 0, family, sizes, vocab_size=12, **special).eval()
    run = family_run(JiT(), "text_generation")
    batch = first_batch(run)
    signal = run.modality.signal(model, batch)
    same = run.modality.logits_at(model, batch, signal.values)
    assert torch.equal(same, run.modality.logits(model, batch))
    assert not torch.allclose(run.modality.logits_at(model, batch, signal.values.flip(-1)), same)
    decoder = model.get_decoder()
    assert run.modality.own(model, batch, decoder).shape == batch.targets.shape
    assert run.modality.own(model, batch, model.get_encoder()).shape == batch.inputs["prompt_ids"].shape


def test_slopes_of_tokens_are_means_over_the_labels_alone():
    run = family_run(JiT(), "text_generation")
    targets = torch.tensor([[3, 4, -100]])
    first, second = torch.randn(2, 1, 3, 5, dtype=torch.float64)
    by_hand = np.mean([np.linalg.norm(first[0, t] - second[0, t]) for t in (0, 1)])
    assert np.isclose(float(run.modality.distance(first, second, targets)), by_hand)


def test_an_input_of_one_value_is_not_shaken_into_nan():
    assert float(signals.of(torch.ones(1, 3)).deviation) == 0


# Boundary shrink ---------------------------------------------------------------------------------


def nearest(weight, rows, step):
    """The likeliest wrong class at x + step std(x) sign(W^T (p - onehot(y)))."""
    found = []
    for row in rows:
        x, y = features([row])[0], LABELS[row]
        gradient = weight.T @ (softmax(weight @ x) - np.eye(3)[y])
        scores = weight @ (x + step * x.std() * np.sign(gradient))
        scores[y] = -np.inf
        found.append(int(scores.argmax()))
    return np.array(found)


@pytest.mark.parametrize("step", [0.3, 3.0])
def test_boundary_shrink_trains_on_the_nearest_wrong_class_of_the_original(step):
    """Two epochs: the second finds the boundary of the original too, not of the moved model."""
    method = BoundaryShrink(step=step)
    run = tiny_run(method, FORGET, RETAIN, epochs=2, lr=4.0)
    labels, weight = nearest(START, FORGET, step), START
    assert (labels != LABELS[FORGET]).all()
    for _ in range(2):
        weight = weight - 4.0 * ce_gradient(weight, FORGET, labels)
    agree(finish(method, run), weight)


def test_the_nearest_class_is_wrong_even_where_the_step_does_not_cross_the_boundary():
    run = tiny_run(method := BoundaryShrink(step=0.0), list(range(6)), [0])
    method.prepare(run)
    assert (method.nearest(run, first_batch(run)).numpy() != LABELS).all()


# Boundary expand ---------------------------------------------------------------------------------


class Headed(nn.Module):
    """logits = W x + b by a linear layer, W = START, b = 0; float64."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(4, 3).double()
        with torch.no_grad():
            self.head.weight.copy_(torch.from_numpy(START))
            self.head.bias.zero_()

    def forward(self, pixel_values):
        return self.head(pixel_values.flatten(1).double())


def test_boundary_expand_trains_a_wider_head_and_keeps_the_old_classes():
    method = BoundaryExpand()
    run = tiny_run(method, FORGET, RETAIN, epochs=2)
    run.model = Headed()
    shapes = {n: w.shape for n, w in run.model.state_dict().items()}
    draw = torch.randn(1, 4, generator=run.generator()).double().numpy()
    wide = np.vstack([START, START.std(ddof=1) * draw])
    bias, x = np.zeros(4), features(FORGET)
    for _ in range(2):
        error = (softmax(x @ wide.T + bias) - np.eye(4)[[3, 3]]) / 2
        wide, bias = wide - LR * error.T @ x, bias - LR * error.sum(0)
    method.prepare(run)
    method.unlearn(run)
    agree(run.model.head.weight.detach().numpy(), wide[:3])
    agree(run.model.head.bias.detach().numpy(), bias[:3])
    assert {n: w.shape for n, w in run.model.state_dict().items()} == shapes
    assert run.model(torch.zeros(1, 1, 2, 2)).shape == (1, 3)


def test_the_layer_of_scores_is_the_last_of_a_head():
    case = FAMILIES["image_text"]()
    model = case.spec.fresh(0)
    assert anatomy.scorer(model, 2).out_features == 2
    assert anatomy.scorer(FAMILIES["image"]().spec.fresh(0), 4).out_features == 4


# UNSIR -------------------------------------------------------------------------------------------


def test_unsir_learns_noise_that_raises_the_loss_of_its_class():
    """Adam by hand on decay |N|^2 - CE(W N, c), from the same draw."""
    method = Unsir(noises=1, steps=3, rate=0.1, decay=0.05, repair=0)
    run = tiny_run(method, [0], RETAIN)
    label = int(LABELS[0])
    noise = torch.randn(1, 1, 2, 2, generator=run.generator(label)).numpy().ravel().astype(np.float64)
    m, v = np.zeros(4), np.zeros(4)
    for step in range(1, 4):
        slope = START.T @ (softmax(START @ noise) - np.eye(3)[label])
        gradient = 2 * 0.05 * noise - slope
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        noise = noise - 0.1 * (m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.999**step)) + 1e-8)
    method.prepare(run)
    found = method._noise[label].numpy().ravel()
    np.testing.assert_allclose(found, noise, rtol=0, atol=1e-5)  # the noise is float32


def test_unsir_impairs_with_noise_under_the_forgotten_label_then_repairs_on_d_r():
    method = Unsir(noises=1, steps=2, repair=1)
    run = tiny_run(method, [0], [2])
    method.prepare(run)
    noise = method._noise[int(LABELS[0])].numpy().reshape(1, 4).astype(np.float64)
    wrong = (softmax(noise @ START.T) - np.eye(3)[[LABELS[0]]]).T @ noise
    impaired = START - LR * (wrong + ce_gradient(START, [2])) / 2
    method.unlearn(run)
    agree(run.model.weight.detach().numpy(), impaired - LR * ce_gradient(impaired, [2]))


def test_unsir_sees_of_d_f_its_classes_alone():
    """Other pictures of the same classes give the same model."""
    results = []
    for change in (0, 7):
        run = family_run(method := Unsir(noises=2, steps=2), "image")
        rows = torch.arange(21)
        pixels = run.columns["train"].inputs["pixel_values"].clone()
        pixels[rows] = pixels[rows] // (change + 1)
        train = run.columns["train"]
        run.columns = {"train": type(train)({"pixel_values": pixels}, train.targets, train.ids)}
        method.prepare(run)
        method.unlearn(run)
        results.append(torch.nn.utils.parameters_to_vector(run.model.parameters()).detach())
    assert torch.equal(*results)
