"""Methods that read per-example gradients, beside slow references in NumPy float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import transformers
from families import FAMILIES, family_run
from tiny import LABELS, START, ce_gradient, features, finish, softmax, tiny_run, unlearn
from tiny_tokens import RETAIN as TOKEN_RETAIN
from tiny_tokens import batch_of, log_softmax, places, scores, token_run
from torch import Tensor

from mubench import gradients
from mubench.data import Batch
from mubench.engine import Engine
from mubench.errors import Diverged
from mubench.methods.assd import ASSD
from mubench.methods.fisher import Fisher
from mubench.methods.influence import Influence
from mubench.methods.lfssd import LFSSD
from mubench.methods.one_shot import put
from mubench.methods.ssd import SSD
from mubench.methods.woodfisher import inverse_product
from mubench.modalities.audio import Audio
from mubench.modalities.base import Modality
from mubench.modalities.text import Text
from mubench.modalities.video import Video
from mubench.models import seeded
from mubench.schema import Trainer

FORGET, RETAIN = [0], [1, 2, 3, 4, 5]


def agree(found, expected, tolerance=1e-9):
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=tolerance)


def outer(row: int, label: int) -> np.ndarray:
    """Gradient of CE of one example with this label: (p - onehot) x^T, one entry after another."""
    x, found = features([row])[0], np.zeros((3, 4))
    p = softmax(START @ x)
    for c in range(3):
        for pixel in range(4):
            found[c, pixel] = (p[c] - (c == label)) * x[pixel]
    return found


def importance(rows: list[int]) -> np.ndarray:
    return np.mean([outer(row, LABELS[row]) ** 2 for row in rows], axis=0)


# Fisher ---------------------------------------------------------------------------------------


def exact(rows: list[int]) -> np.ndarray:
    found = np.zeros((3, 4))
    for row in rows:
        p = softmax(START @ features([row])[0])
        for label in range(3):
            found += p[label] * outer(row, label) ** 2 / len(rows)
    return found


@pytest.mark.parametrize("batch_size", [1, 2, 64])
def test_fishers_information_is_expected_over_the_models_labels_whatever_the_batches(batch_size):
    method = Fisher(samples=None)
    found = method.information(tiny_run(method, [], RETAIN, batch_size=batch_size))["weight"].numpy()
    agree(found, exact(RETAIN))
    assert not np.allclose(found, importance(RETAIN), rtol=0.05)  # the true labels' is something else
    assert not np.allclose(found, ce_gradient(START, RETAIN) ** 2, rtol=0.05)  # so is a batch's, squared


def test_fishers_noise_is_larger_where_information_is_small_up_to_a_limit():
    method = Fisher(alpha=0.01, limit=0.4, samples=None)
    run = tiny_run(method, [], RETAIN)
    noise = torch.randn((3, 4), generator=run.generator()).double().numpy()
    free, most = 2 * 0.01 / 12 / exact(RETAIN), 0.4 * np.mean(START**2)
    assert (free > most).any() and (free < most).any()
    agree(finish(method, run), START + np.sqrt(np.minimum(free, most)) * noise)


def test_fishers_alpha_is_what_its_noise_costs_on_d_r_to_second_order():
    run = tiny_run(method := Fisher(alpha=0.03, limit=1e6, samples=None), [], RETAIN)
    noise = torch.randn((3, 4), generator=run.generator()).double().numpy()
    variance = ((finish(method, run) - START) / noise) ** 2
    assert (exact(RETAIN) * variance).sum() / 2 == pytest.approx(0.03)


def test_fishers_limit_follows_the_size_of_each_tensor_and_of_all_where_one_is_zero(monkeypatch):
    monkeypatch.setattr(Fisher, "information", lambda _, run: dict.fromkeys(run.weights, torch.tensor(1.0)))
    moved = {}
    for size in (0.0, 1.0, 10.0):
        run = tiny_run(method := Fisher(alpha=1e6, limit=0.04), [], RETAIN)
        noise = torch.randn((3, 4), generator=run.generator()).double().numpy()
        with torch.no_grad():
            run.model.weight.mul_(size)
        run.model.other = torch.nn.Parameter(torch.full((2, 3), 5.0).double())
        moved[size] = dict(method.edited(run))["weight"].numpy() - START * size
    agree(moved[1.0], np.sqrt(0.04 * np.mean(START**2)) * noise)
    agree(moved[10.0], 10 * moved[1.0])
    agree(moved[0.0], np.sqrt(0.04 * 6 * 25 / 18) * noise)


def test_fishers_mixtures_of_labels_have_its_information_in_the_mean():
    """With many draws F nears the exact one; two runs draw the same."""
    method = Fisher(samples=400)
    found = method.information(tiny_run(method, [], RETAIN))["weight"].numpy()
    np.testing.assert_allclose(found, exact(RETAIN), rtol=0.15, atol=2e-3)
    assert np.array_equal(found, method.information(tiny_run(method, [], RETAIN))["weight"].numpy())


def test_a_mixture_weighs_every_label_by_the_root_of_its_likelihood_and_a_sign():
    run = tiny_run(Fisher(), [], RETAIN)
    z = torch.tensor([[1.0, -2.0, 0.5], [0.0, 3.0, -torch.inf]]).double()
    drawn = run.modality.draw(z.repeat(500, 1), torch.zeros(1000), torch.Generator().manual_seed(0))
    p = np.stack([softmax(row) for row in z.numpy()])
    agree(drawn.numpy() ** 2, np.tile(p, (500, 1)))
    assert (np.abs(np.sign(drawn.numpy())[:, :2].mean(0)) < 0.1).all()
    expected = [(drawn[0].numpy() * np.log(p[0])).sum(), (drawn[1, :2].numpy() * np.log(p[1, :2])).sum()]
    agree(run.modality.drawn_score(z, drawn[:2]).numpy(), expected)


def test_fishers_text_is_drawn_token_by_token_and_counts_whole():
    """F of the scores' bias, known by hand: sum over an example's label tokens of p (1 - p)."""
    method = Fisher(samples=1500)
    run = token_run(method)
    batch = batch_of(run, TOKEN_RETAIN)
    z = scores(run, batch)
    p, expected = np.exp(log_softmax(z)), np.zeros(12)
    for row in range(len(z)):
        for place, _ in places(batch.targets, row):
            for token in range(12):
                expected[token] += p[row, place, token] * (1 - p[row, place, token]) / len(z)
    generator, squares = torch.Generator().manual_seed(0), np.zeros(12)
    for _ in range(method.samples):
        drawn = run.modality.draw(torch.from_numpy(z), batch.targets, generator)
        assert torch.equal((drawn == 0).all(2), batch.targets[:, : z.shape[1]] == -100)
        leaf = torch.from_numpy(z).requires_grad_(True)
        (each,) = torch.autograd.grad(run.modality.drawn_score(leaf, drawn).sum(), leaf)
        squares += np.mean(each.sum(1).numpy() ** 2, axis=0) / method.samples
    np.testing.assert_allclose(squares, expected, rtol=0.15)


def test_the_noise_of_a_picture_is_drawn_so_that_its_likelihood_is_the_loss():
    """Variance n / 2 around the prediction: E (grad log p)^2 is the curvature 2 / n of the mean square."""
    modality, logits = FAMILIES["text_to_image"]().modality, torch.randn(2, 1, 3, 8, 8).double()
    generator, squares = torch.Generator().manual_seed(0), torch.zeros_like(logits)
    for _ in range(400):
        drawn = modality.draw(logits, logits, generator)
        leaf = logits.clone().requires_grad_(True)
        (each,) = torch.autograd.grad(modality.drawn_score(leaf, drawn).sum(), leaf)
        squares += each**2 / 400
    assert float(squares.mean()) == pytest.approx(2 / logits[0].numel(), rel=0.02)


# Dampening ------------------------------------------------------------------------------------


def dampened(mine: np.ndarray, others: np.ndarray, alpha: float, dampening: float) -> np.ndarray:
    whole, result = (mine * len(FORGET) + others * len(RETAIN)) / 6, START.copy()
    for at in np.ndindex(START.shape):
        if mine[at] > alpha * whole[at]:
            result[at] *= min(dampening * whole[at] / mine[at], 1.0)
    return result


@pytest.mark.parametrize("batch_size", [2, 64])
@pytest.mark.parametrize(("alpha", "dampening"), [(1.5, 1.0), (1.5, 0.3), (0.5, 2.0)])
def test_ssd_dampens_by_mean_squares_per_example(alpha, dampening, batch_size):
    expected = dampened(importance(FORGET), importance(RETAIN), alpha, dampening)
    assert 0 < (expected != START).sum() < START.size
    found = unlearn(SSD(alpha=alpha, dampening=dampening), FORGET, RETAIN, batch_size=batch_size)
    agree(found, expected)
    assert (np.abs(found) <= np.abs(START)).all()  # no weight grows
    batch = dampened(ce_gradient(START, FORGET) ** 2, ce_gradient(START, RETAIN) ** 2, alpha, dampening)
    assert not np.allclose(found, batch)  # squares of batches' means choose otherwise


def test_ssd_says_so_where_no_weight_can_be_chosen(capsys):
    method = SSD(alpha=6.0)
    run = tiny_run(method, FORGET, RETAIN)
    run.reporter.quiet = False
    assert np.array_equal(finish(method, run), START)
    assert "chooses no weight: I_f <= 6 I_D" in capsys.readouterr().err


def test_lfssd_reads_no_labels_but_the_length_of_the_scores():
    def norm(rows: list[int]) -> np.ndarray:
        return np.mean([np.abs(2 * np.outer(START @ x, x)) for x in features(rows)], axis=0)

    expected = dampened(norm(FORGET), norm(RETAIN), 1.2, 0.8)
    assert 0 < (expected != START).sum() < START.size
    agree(unlearn(LFSSD(alpha=1.2, dampening=0.8), FORGET, RETAIN), expected)


def test_a_pictures_scores_are_the_predicted_noise_and_a_texts_those_of_its_labels():
    run = family_run(LFSSD(), "text_to_image")
    batch = run.prepare(next(iter(run.stream("retain").batches(None))))
    logits = run.logits(batch)
    predicted = (logits + batch.inputs["noise"]).square().flatten(1).sum(1)
    torch.testing.assert_close(run.modality.squared_norm(logits, batch), predicted)
    run = token_run(LFSSD())
    batch = batch_of(run, TOKEN_RETAIN)
    z = scores(run, batch)
    expected = [np.mean([(z[r, t] ** 2).sum() for t, _ in places(batch.targets, r)]) for r in range(len(z))]
    agree(run.modality.squared_norm(torch.from_numpy(z), batch).numpy(), expected)


def test_assds_threshold_is_the_papers_percentile_of_all_ratios():
    mine, others = importance(FORGET), importance(RETAIN)
    ratios = (mine / ((mine + 5 * others) / 6))[~np.isnan(mine / (mine + others))]
    alpha = np.percentile(ratios, 100 - np.log(1 + 100 * 1 / 6))
    expected = dampened(mine, others, alpha, 0.5)
    assert (expected != START).any()
    agree(unlearn(ASSD(dampening=0.5), FORGET, RETAIN), expected)


def test_assds_threshold_follows_the_size_of_d_f_between_ranks():
    draw = torch.Generator().manual_seed(0)
    ratios = {"a": torch.rand(40, 25, generator=draw).double(), "b": torch.rand(333, generator=draw).double()}
    ratios["b"][7] = torch.nan
    known = np.concatenate([ratios["a"].flatten().numpy(), np.delete(ratios["b"].numpy(), 7)])
    for share in (0.02, 0.1):
        expected = np.percentile(known, 100 - np.log(1 + 100 * share))
        assert ASSD().threshold(tiny_run(ASSD(), FORGET, RETAIN), ratios, share) == pytest.approx(expected)


# Influence ------------------------------------------------------------------------------------


def newton(rows: list[int], damping: float) -> np.ndarray:
    """H^-1 (grad_f - grad_r) with H = mean of g g^T over the rows + damping times its trace, dense."""
    each = np.stack([outer(row, LABELS[row]).flatten() for row in rows])
    hessian = each.T @ each / len(rows)
    hessian += damping * np.trace(hessian) * np.eye(12)
    direction = ce_gradient(START, FORGET) - ce_gradient(START, RETAIN)
    return np.linalg.solve(hessian, direction.flatten()).reshape(3, 4)


def stepped(step: np.ndarray, alpha: float) -> np.ndarray:
    return START + alpha * np.linalg.norm(START) * step / np.linalg.norm(step)


@pytest.mark.parametrize("kept", [1, 2, 100])  # gradients that are in memory at a time
def test_influence_steps_by_the_dense_inverse_up_the_forget_loss(kept, monkeypatch):
    monkeypatch.setattr(gradients, "BYTES", kept * START.size * 8)
    step = newton(RETAIN, 0.05)
    agree(unlearn(Influence(alpha=0.2, damping=0.05), FORGET, RETAIN), stepped(step, 0.2))
    assert (step * ce_gradient(START, FORGET)).sum() > 0


def test_influence_takes_its_hessian_from_a_sample_of_d_r():
    method = Influence(alpha=0.2, damping=0.05, samples=2)
    run = tiny_run(method, FORGET, RETAIN)
    rows = run.sample("retain", 2).rows.tolist()
    assert len(rows) == 2 and set(rows) < set(RETAIN)
    agree(finish(method, run), stepped(newton(rows, 0.05), 0.2))


@pytest.mark.parametrize("size", [1e-4, 1.0, 1e4])
def test_influences_step_is_as_long_whatever_the_size_of_the_losses(size):
    """A model that knows D by heart has tiny gradients: neither damping nor alpha may mean another thing."""
    run = tiny_run(method := Influence(alpha=0.2, damping=0.05), FORGET, RETAIN)
    losses = run.modality.losses
    run.modality.losses = lambda logits, targets: size * losses(logits, targets)
    agree(finish(method, run), stepped(newton(RETAIN, 0.05), 0.2))


def test_influence_stays_where_no_direction_is():
    agree(unlearn(Influence(), RETAIN, RETAIN), START)


@pytest.mark.parametrize(("rows", "blocks"), [(6, 1), (5, 2), (4, 2), (2, 3)])  # that memory may hold
def test_products_with_the_inverse_are_those_of_the_damped_hessian(rows, blocks, monkeypatch):
    monkeypatch.setattr(gradients, "BYTES", 8 * 5 * rows)
    draw, asked = np.random.default_rng(0), []
    g, v = draw.normal(size=(6, 5)), draw.normal(size=5)

    def parts():
        asked.append(True)
        return ({"w": torch.from_numpy(g[at : at + 2])} for at in (0, 2, 4))

    hessian = g.T @ g / 6
    hessian += 0.3 * np.trace(hessian) * np.eye(5)
    found = inverse_product(parts, {"w": torch.from_numpy(v)}, 0.3)
    agree(found["w"].numpy(), np.linalg.solve(hessian, v))
    assert len(asked) == (1 if blocks == 1 else 1 + blocks + 2)  # whether all fit is seen once
    nothing = inverse_product(lambda: iter([{"w": torch.zeros(3, 5)}]), {"w": torch.ones(5)}, 0.3)
    assert torch.equal(nothing["w"], torch.zeros(5))


def test_a_step_that_is_not_finite_is_divergence():
    run = tiny_run(SSD(), FORGET, RETAIN)
    with pytest.raises(Diverged, match="weight is not finite"):
        put(run, "weight", torch.full((3, 4), torch.nan))
    assert np.array_equal(run.model.weight.detach().numpy(), START)


# Every family's network is mapped over examples ------------------------------------------------


def prepared(name: str) -> tuple[torch.nn.Module, Modality, Batch]:
    """A family's network in float64, and five of its examples as it takes them."""
    run, modality = family_run(SSD(), name), FAMILIES[name]().modality
    batch = modality.trimmed(run.prepare(run.columns["train"].take(torch.arange(5), torch.device("cpu"))))
    return run.model.double().eval(), modality, double(batch)


def double(batch: Batch) -> Batch:
    inputs = {k: v.double() if v.is_floating_point() else v for k, v in batch.inputs.items()}
    return Batch(inputs, batch.targets, batch.index)


def other(name: str) -> tuple[torch.nn.Module, Modality, Batch]:
    """The same of a kind of input that the families leave out; transformers' own networks."""
    draw = torch.Generator().manual_seed(0)
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    mask = torch.tensor([[1] * 4, [1] * 3 + [0], [1] * 2 + [0] * 2, [1] * 4, [1] + [0] * 3])
    waves = {
        "conv_dim": [8], "conv_kernel": [4], "conv_stride": [4], "num_feat_extract_layers": 1,
        "num_conv_pos_embeddings": 2, "num_conv_pos_embedding_groups": 1, "mask_time_prob": 0.0,
    }  # fmt: skip
    videos = {"image_size": 8, "patch_size": 4, "num_frames": 2, "tubelet_size": 2, "hidden_size": 8}
    kinds: dict[str, tuple[str, dict[str, object], Modality, dict[str, Tensor]]] = {
        "text": ("Bert", {**sizes, "vocab_size": 9}, Text("text"),
                 {"input_ids": torch.randint(1, 9, (5, 4), generator=draw), "attention_mask": mask}),
        "audio": ("Wav2Vec2", {**sizes, **waves}, Audio("audio"),
                  {"input_values": torch.randn(5, 40, generator=draw)}),
        "video": ("VideoMAE", {**sizes, **videos}, Video("video"),
                  {"pixel_values": torch.randn(5, 2, 3, 8, 8, generator=draw)}),
    }  # fmt: skip
    family, settings, modality, inputs = kinds[name]
    kind = "Video" if name == "video" else "Sequence"
    config = getattr(transformers, f"{family}Config")(**settings, num_labels=3)
    with seeded(0):
        model = getattr(transformers, f"{family}For{kind}Classification")(config)
    return model.double().eval(), modality, double(Batch(inputs, torch.arange(5) % 3, torch.arange(5)))


@pytest.mark.parametrize("name", ["image", "text", "audio", "video", "image_text", "text_generation",
                                  "text_to_image"])  # fmt: skip
def test_gradients_of_every_family_are_mapped_and_those_of_each_example_alone(name, monkeypatch):
    model, modality, batch = prepared(name) if name in FAMILIES else other(name)
    monkeypatch.setattr(gradients, "_one_by_one", lambda *_: pytest.fail("walked, not mapped"))
    (part,) = gradients.per_example(model, modality, [batch])
    free = {n: w for n, w in model.named_parameters() if w.requires_grad}
    for row in range(5):
        inputs = {k: v[[row]] for k, v in batch.inputs.items()}
        single = Batch(inputs, batch.targets[[row]], batch.index[[row]])
        loss = modality.losses(modality.scores(model, single), single.targets).sum()
        each = torch.autograd.grad(loss, list(free.values()), materialize_grads=True)
        for weight, expected in zip(free, each, strict=True):
            torch.testing.assert_close(part[weight][row], expected, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("name", FAMILIES)
def test_gradients_keep_the_weights_precision_where_training_is_in_bfloat16(name):
    plain, half = family_run(SSD(), name), family_run(SSD(), name)
    half.engine = Engine(Trainer(device="cpu", precision="bf16"))
    for expected, found in zip(plain.per_example("forget"), half.per_example("forget"), strict=True):
        assert all(torch.equal(found[weight], expected[weight]) for weight in expected)
