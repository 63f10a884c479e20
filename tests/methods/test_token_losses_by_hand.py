"""Losses on tokens, from a tiny model's scores by loops in NumPy; gradients by central differences."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_tokens import (
    FORGET,
    RETAIN,
    batch_of,
    gradient_at_scores,
    log_softmax,
    moved,
    numeric_gradient,
    places,
    scores,
    token_run,
)

from mubench.data import Paired, concatenate
from mubench.engine import Engine
from mubench.methods.ce_u import CEU
from mubench.methods.delete import Delete
from mubench.methods.dpo import DPO
from mubench.methods.idk import IDK
from mubench.methods.npo import NPO
from mubench.methods.pdu import PDU
from mubench.methods.satimp import SatImp
from mubench.methods.simnpo import SimNPO
from mubench.methods.undial import Undial
from mubench.methods.wga import WGA
from mubench.modalities.refusals import REFUSALS
from mubench.modalities.text_generation import GenerationSpec, TextGeneration
from mubench.modalities.tokens import load
from mubench.schema import Trainer


def prepared(method):
    """A run whose model has left the original, and its batch of D_f."""
    run = token_run(method)
    method.prepare(run)
    moved(run.model)
    batch = batch_of(run, FORGET)
    assert len({len(places(batch.targets, row)) for row in range(len(FORGET))}) > 1  # lengths differ
    return run, batch


def log_likelihoods(z, batch) -> np.ndarray:
    """Summed over the label tokens of each example, (B,)."""
    log_p = log_softmax(z)
    rows = range(len(batch))
    return np.array([sum(log_p[row, t, y] for t, y in places(batch.targets, row)) for row in rows])


def lengths(batch) -> np.ndarray:
    return np.array([len(places(batch.targets, row)) for row in range(len(batch))])


def mean_over_labels(batch, value) -> float:
    """The mean over examples of the mean over an example's label tokens of value(row, t, y)."""
    rows = range(len(batch))
    return np.mean([np.mean([value(row, t, y) for t, y in places(batch.targets, row)]) for row in rows])


def agree(method, run, batch, reference):
    """Loss and gradient are those of `reference`, a function of the model's scores on the batch."""
    z = scores(run, batch)
    loss, gradient = gradient_at_scores(run, method, batch)
    assert loss == pytest.approx(reference(z), abs=1e-6)
    np.testing.assert_allclose(gradient.numpy(), numeric_gradient(reference, z), rtol=0, atol=1e-6)


def test_npo_compares_log_probabilities_of_whole_answers_one_by_one():
    method = NPO(beta=0.7)
    run, batch = prepared(method)
    before = log_likelihoods(scores(run, batch, method._original), batch)

    def reference(z):
        ratio = log_likelihoods(z, batch) - before
        return np.mean(2 / 0.7 * np.log1p(np.exp(0.7 * ratio)))

    agree(method, run, batch, reference)


def test_simnpo_takes_the_mean_per_token_and_no_reference():
    method = SimNPO(beta=2.0, delta=0.5)
    run, batch = prepared(method)

    def reference(z):
        nll = -log_likelihoods(z, batch) / lengths(batch)
        return np.mean(2 / 2.0 * np.log1p(np.exp(-(2.0 * nll - 0.5))))

    agree(method, run, batch, reference)


@pytest.mark.parametrize(
    ("method", "weigh"),
    [
        (WGA(beta=1.5), lambda p: p**1.5),
        (SatImp(beta1=2.0, beta2=0.5), lambda p: p**2 * (1 - p) ** 0.5),
    ],
)
def test_weighted_ascent_holds_its_weights_constant(method, weigh):
    run, batch = prepared(method)
    p0 = np.exp(log_softmax(scores(run, batch)))

    def reference(z):
        log_p = log_softmax(z)
        return mean_over_labels(batch, lambda row, t, y: weigh(p0[row, t, y]) * log_p[row, t, y])

    agree(method, run, batch, reference)


def test_wga_without_a_power_is_gradient_ascent():
    run, batch = prepared(WGA(beta=0.0))
    loss, _ = gradient_at_scores(run, WGA(beta=0.0), batch)
    assert loss == pytest.approx(-run.losses(batch).mean().item(), abs=1e-12)


def distilled(z, batch, teacher, by):
    """Mean KL to the teacher's scores with `by` taken from the label's, 0 log 0 = 0."""

    def divergence(row, t, y):
        lowered = teacher[row, t].copy()
        lowered[y] -= by
        q = np.exp(lowered - lowered.max())
        q /= q.sum()
        log_p = log_softmax(z[row, t])
        return sum(q[c] * (np.log(q[c]) - log_p[c]) for c in range(len(q)) if q[c] > 0)

    return mean_over_labels(batch, divergence)


@pytest.mark.parametrize(("method", "by"), [(Undial(beta=3.0), 3.0), (Delete(), np.inf)])
def test_the_original_is_distilled_with_the_labels_score_lowered(method, by):
    run, batch = prepared(method)
    teacher = scores(run, batch, method._original)
    agree(method, run, batch, lambda z: distilled(z, batch, teacher, by))


def test_undial_with_nothing_lowered_pulls_back_to_the_original():
    method = Undial(beta=0.0)
    run = token_run(method)
    method.prepare(run)
    loss, gradient = gradient_at_scores(run, method, batch_of(run, FORGET))
    assert loss == pytest.approx(0, abs=1e-12) and gradient.abs().max() < 1e-12


def test_ce_u_takes_its_own_scores_without_the_label_for_a_constant():
    run, batch = prepared(CEU())
    own = scores(run, batch)
    agree(CEU(), run, batch, lambda z: distilled(z, batch, own, np.inf))


def pair_of(run) -> Paired:
    """D_f beside D_r as the loop hands them over."""
    forget, retain = (run.columns["train"].take(torch.tensor(rows), torch.device("cpu"))
                      for rows in (FORGET, RETAIN))  # fmt: skip
    return run.prepare(Paired(forget, retain))


@pytest.mark.parametrize("method", [NPO(alpha=2.0), SimNPO(alpha=2.0), Undial(alpha=2.0), WGA(alpha=2.0)])
def test_what_holds_d_r_is_added_to_the_loss_on_d_f(method):
    run, _ = prepared(method)
    pair = pair_of(run)
    alone, _ = gradient_at_scores(run, replace_alpha(method), pair.forget)
    both, _ = gradient_at_scores(run, method, pair)
    assert both == pytest.approx(alone + 2 * run.losses(pair.retain).mean().item(), abs=1e-9)


def replace_alpha(method):
    """The method with its teacher, but nothing to hold D_r."""
    other = replace(method, alpha=0.0)
    vars(other).update({k: v for k, v in vars(method).items() if k.startswith("_")})
    return other


# Refusals --------------------------------------------------------------------------------------


def test_idk_trains_refusals_on_d_f_and_answers_on_d_r():
    method = IDK(alpha=2.0)
    run, _ = prepared(method)
    pair = pair_of(run)
    refused = method.refused(run, pair.forget)
    assert all(any(torch.equal(row, known) for known in method._refusals) for row in refused.targets)
    shown = concatenate(refused, pair.retain)
    z, count = scores(run, shown), len(FORGET)

    def reference(z):
        nll = -log_likelihoods(z, shown) / lengths(shown)
        return nll[:count].mean() + 2 * nll[count:].mean()

    loss, gradient = gradient_at_scores(run, method, pair)
    assert loss == pytest.approx(reference(z), abs=1e-6)
    np.testing.assert_allclose(gradient.numpy(), numeric_gradient(reference, z), rtol=0, atol=1e-6)


def test_refusals_are_drawn_by_example_and_epoch_and_by_the_seed():
    method = IDK()
    run = token_run(method, epochs=8)
    method.prepare(run)
    drawn = method._drawn
    assert drawn.shape == (8, len(run.columns["train"]))
    assert len(drawn.unique()) == len(method._refusals)
    assert (drawn[0] != drawn[1]).any()
    run.seed += 1
    method.prepare(run)
    assert (method._drawn != drawn).any()


def test_dpo_prefers_the_refusal_to_the_true_answer_under_both_models():
    method = DPO(beta=0.7, alpha=0.0)
    run, batch = prepared(method)
    count, shown = len(FORGET), concatenate(method.refused(run, batch), batch)
    before = log_likelihoods(scores(run, shown, method._original), shown)

    def reference(z):
        gain = log_likelihoods(z, shown) - before
        return np.mean(np.log1p(np.exp(-0.7 * (gain[:count] - gain[count:]))) / 0.7)

    z = scores(run, shown)
    loss, gradient = gradient_at_scores(run, method, batch)
    assert loss == pytest.approx(reference(z), abs=1e-6)
    np.testing.assert_allclose(gradient.numpy(), numeric_gradient(reference, z), rtol=0, atol=1e-6)
    for row in range(count):  # not refusal training alone: true tokens are pushed down
        for t, y in places(batch.targets, row):
            assert gradient[count + row, t, y] > 0


def test_the_shipped_refusals_are_encoded_as_answers_are(tmp_path):
    modality = TextGeneration("text_generation", max_prompt=8, max_answer=40)
    rows = {"prompt": ["who is it?"], "answer": [" ".join(REFUSALS)]}
    modality.learn(rows, {"vocabulary": 600}, tmp_path)
    found = modality.refusals(GenerationSpec(str(tmp_path), {}, 600, 48))
    tokenizer = load(tmp_path)
    texts = [tokenizer.decode([i for i in row.tolist() if i >= 0], skip_special_tokens=True) for row in found]
    assert found.shape == (len(REFUSALS), 40)
    assert len(set(texts)) == len(set(REFUSALS)) == len(REFUSALS)
    plain = [letters(text) for text in texts]
    assert plain == [letters(text) for text in REFUSALS]


def letters(text: str) -> str:
    return "".join(c for c in text.lower() if c.isalpha())


# PDU -------------------------------------------------------------------------------------------


def test_pdu_flattens_the_scores_that_predict_label_tokens_and_no_others():
    """The scores are taken anew from the whole text: place P - 1 + t is what predicts token t."""
    method = PDU(epsilon=0.2, multiplier=0.7)
    run, batch = prepared(method)
    pair = pair_of(run)
    ids = torch.cat([batch.inputs["prompt_ids"], batch.targets.clamp_min(0)], dim=1)
    width = batch.inputs["prompt_ids"].shape[1]
    whole = run.model(input_ids=ids).logits.detach().numpy()

    def steepness(row, t, y):
        z = whole[row, width - 1 + t]
        return (max(z) - sum(z) / len(z)) ** 2

    expected = mean_over_labels(batch, steepness) + 0.7 * (run.losses(pair.retain).mean().item() - 0.2)
    loss, gradient = gradient_at_scores(run, method, pair)
    assert loss == pytest.approx(expected, abs=1e-6)
    padded = pair.forget.targets[:, : gradient.shape[1]] == -100
    assert padded.any() and (gradient[: len(FORGET)][padded] == 0).all()
    assert (gradient[: len(FORGET)][~padded] != 0).any(dim=-1).all()


def watched(method, run) -> list[tuple[float, float]]:
    """After each step: D_r's loss before it, and the multiplier after it."""
    found: list[tuple[float, float]] = []
    step, seen = method.after_step, []

    def loss(run, batch, plain=method.loss):
        seen.append(run.losses(batch.retain).mean().item())
        return plain(run, batch)

    def after_step():
        step(run)
        found.append((np.mean(seen), float(method._v)))
        seen.clear()

    method.loss, run.hooks = loss, replace(run.hooks, after_step=after_step)
    return found


@pytest.mark.parametrize("accumulate", [1, 3])
def test_pdus_multiplier_follows_the_constraint_and_never_falls_below_zero(accumulate):
    """batch_size 1: three batches a pass, each of one example."""
    method = PDU(epsilon=2.2, multiplier=0.3, rate=2.0)
    run = token_run(method, epochs=6, lr=0.1, batch_size=1, accumulate=accumulate)
    method.prepare(run)
    found = watched(method, run)
    method.unlearn(run)
    assert len(found) == 18 // accumulate
    v = 0.3
    for loss, after in found:
        v = max(0.0, v + 2.0 * (loss - 2.2))
        assert after == pytest.approx(v, abs=1e-6)
    assert len({after for _, after in found}) > 2


def test_pdus_multiplier_outlives_an_interruption(tmp_path):
    def start(checkpoints=None):
        method = PDU(epsilon=0.2)
        run = token_run(method, epochs=5, lr=0.05)
        run.checkpoints, run.engine = checkpoints, Engine(Trainer(device="cpu", checkpoint_minutes=0))
        method.prepare(run)
        return method, run

    whole, run = start()
    whole.unlearn(run)
    cut, interrupted = start(tmp_path)
    steps: list[int] = []

    def after_step():
        cut.after_step(interrupted)
        steps.append(1)
        if len(steps) == 3:
            raise KeyboardInterrupt

    interrupted.hooks = replace(interrupted.hooks, after_step=after_step)
    with pytest.raises(KeyboardInterrupt):
        cut.unlearn(interrupted)
    again, resumed = start(tmp_path)
    again.unlearn(resumed)
    assert float(again._v) == float(whole._v) != 1.0
    first, second = (torch.nn.utils.parameters_to_vector(r.model.parameters()) for r in (run, resumed))
    assert torch.equal(first, second)
