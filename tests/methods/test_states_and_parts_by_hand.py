"""Methods on weights, hidden states, two kinds of input and parts of D_f; worked out in NumPy."""

import numpy as np
import pytest
import torch
from families import family_run
from tiny import LABELS, LR, START, ce_gradient, features, finish, softmax, tiny_run, unlearn

from mubench import anatomy
from mubench.errors import UsageError
from mubench.methods.finetune import Finetune
from mubench.methods.multi_delete import MultiDelete
from mubench.methods.rmu import Rmu, places, projections
from mubench.methods.rum import Rum, Stratum, strata
from mubench.methods.task_vector import TaskVector
from mubench.methods.weight_distortion import WeightDistortion

FORGET, RETAIN = [0, 1], [2, 3]


def agree(found, expected):
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def node(name, kind, **settings):
    return {"name": name, "_target_": f"mubench.methods.{name}.{kind}", **settings}


# Task vector and distortion ----------------------------------------------------------------------


def test_task_vector_goes_against_what_overfitting_d_f_adds():
    weight = START
    for _ in range(2):
        weight = weight - LR * ce_gradient(weight, FORGET)
    agree(unlearn(TaskVector(scale=1.5), FORGET, RETAIN, epochs=2), START - 1.5 * (weight - START))


def test_task_vector_leaves_the_originals_statistics():
    run = family_run(method := TaskVector(), "image")
    before = {n: b.clone() for n, b in run.model.named_buffers()}
    method.unlearn(run)
    assert before and all(torch.equal(b, before[n]) for n, b in run.model.named_buffers())


def test_weight_distortion_adds_noise_before_it_descends_on_d_r():
    run = tiny_run(method := WeightDistortion(sigma=0.3), FORGET, RETAIN)
    noise = 0.3 * torch.randn(3, 4, generator=run.generator()).numpy().astype(np.float64)
    moved = START + noise
    agree(finish(method, run), moved - LR * ce_gradient(moved, RETAIN))


# RMU ---------------------------------------------------------------------------------------------


def test_rmu_pulls_d_f_to_one_direction_and_holds_d_r():
    """h = W x itself, of one place and three channels; the second epoch's retain term has a gradient."""
    method = Rmu(depth=0.5, steering=2.0, alpha=3.0)
    run = tiny_run(method, FORGET, RETAIN, epochs=2)
    draw = torch.rand(3, generator=run.generator()).numpy().astype(np.float64)
    assert (draw >= 0).all()
    f, r = features(FORGET), features(RETAIN)
    target = 2.0 * np.linalg.norm(f @ START.T, axis=1).mean() * draw / np.linalg.norm(draw)
    weight = START
    for _ in range(2):
        pull = 2 * (f @ weight.T - target).T @ f / (3 * len(f))
        hold = 2 * (r @ (weight - START).T).T @ r / (3 * len(r))
        weight = weight - LR * (pull + 3.0 * hold)
    agree(finish(method, run), weight)


@pytest.mark.parametrize(("depth", "blocks"), [(0.0, [0]), (1.0, [0, 1])])
def test_rmu_moves_the_last_projections_up_to_its_block_and_nothing_else(depth, blocks):
    run = family_run(method := Rmu(depth=depth), "text_generation")
    before = {n: w.clone() for n, w in run.model.state_dict().items()}
    method.prepare(run)
    method.unlearn(run)
    moved = {n for n, w in run.model.named_parameters() if not torch.equal(w, before[n])}
    assert moved == {f"transformer.h.{block}.mlp.c_proj.weight" for block in blocks}
    names = [name for name, _ in run.model.named_parameters()]
    assert moved == projections(run.model, names, blocks[-1])
    with pytest.raises(UsageError, match="may move"):
        projections(run.model, [], 0)


def test_rmu_counts_an_examples_own_tokens_alone():
    """Padding after an answer has no say, by explicit loops over rows and tokens."""
    run = family_run(method := Rmu(depth=1.0, alpha=0.0), "text_generation")
    run.model.double().eval()
    method.prepare(run)
    batch = run.prepare(next(iter(run.stream("paired").batches(None))))
    found = method.loss(run, batch).item()
    states = []
    block = anatomy.blocks(run.model)[-1][1]
    hook = block.register_forward_hook(
        lambda _m, _i, out: states.append(out if isinstance(out, torch.Tensor) else out[0])
    )
    joined = batch.joined()
    run.logits(joined)
    hook.remove()
    means = []
    for row in range(len(batch.forget)):
        tokens = 4 + int((joined.targets[row, 1:] != -100).sum())  # all of the prompt, not the last token
        squares = [(states[0][row, t] - method._target).square().mean().item() for t in range(tokens)]
        means.append(np.mean(squares))
    assert np.isclose(found, np.mean(means))


def test_rmu_takes_the_channels_of_maps_from_their_second_place():
    maps = torch.arange(2 * 3 * 2 * 2).view(2, 3, 2, 2)
    assert places(maps, 2).shape == (2, 4, 3)
    assert torch.equal(places(maps, 2)[1, 3], maps[1, :, 1, 1])
    assert places(maps, 1).shape == (1, 8, 3)  # several rows of one example, such as noise levels


# MultiDelete -------------------------------------------------------------------------------------


def test_multi_delete_computes_its_three_terms():
    """From features that the networks give example by example; a partner is never the row itself."""
    method = MultiDelete(decouple=2.0, unimodal=3.0, retain=5.0)
    run = family_run(method, "image_text")
    run.model.double().eval()
    method.prepare(run)
    with torch.no_grad():
        for weight in run.model.parameters():
            weight.add_(0.1 * torch.randn(weight.shape, generator=run.generator(9)).to(weight))
    partners = method._partner[torch.arange(9)]
    assert sorted(partners.tolist()) == list(range(9)) and (partners != torch.arange(9)).all()
    batch = run.prepare(next(iter(run.stream("paired").batches(None))))
    found = method.loss(run, batch).item()

    def alone(row, text=None):
        taken = run.prepare(run.columns["train"].take(torch.tensor([row]), torch.device("cpu")))
        if text is not None:
            other = run.prepare(run.columns["train"].take(torch.tensor([text]), torch.device("cpu")))
            taken.inputs["input_ids"] = other.inputs["input_ids"]
            taken.inputs["attention_mask"] = other.inputs["attention_mask"]
        return taken.inputs

    def features_of(model, inputs):
        """Embeddings of text and pictures, and what the classifier is given."""
        with torch.no_grad():
            text = model.vilt.embeddings.text_embeddings(inputs["input_ids"])
            pixels = inputs["pixel_values"][0].double()
            seen = [model.vilt.embeddings.visual_embed(p[None])[0] for p in pixels]
            pooled = [
                model.vilt(inputs["input_ids"], inputs["attention_mask"], pixel_values=p[None],
                           image_token_type_idx=place + 1).pooler_output
                for place, p in enumerate(pixels)
            ]  # fmt: skip
        return text[0].numpy(), torch.cat(seen).numpy(), torch.cat(pooled, 1)[0].numpy()

    width = batch.forget.inputs["input_ids"].shape[1]  # of the batch: padding counts as equal features
    decouple, unimodal, retain = [], [], []
    for row in batch.forget.index.tolist():
        text, seen, fused = features_of(run.model, alone(row))
        text0, seen0, _ = features_of(method._original, alone(row))
        _, _, apart = features_of(method._original, alone(row, int(method._partner[row])))
        decouple.append(np.mean((fused - apart) ** 2))
        squares = np.sum((text - text0) ** 2) + np.sum((seen - seen0) ** 2)
        unimodal.append(squares / (width * text.shape[1] + seen.size))
    for row in batch.retain.index.tolist():
        fused, before = (features_of(model, alone(row))[2] for model in (run.model, method._original))
        retain.append(np.mean((fused - before) ** 2))
    expected = 2 * np.mean(decouple) + 3 * np.mean(unimodal) + 5 * np.mean(retain)
    assert np.isclose(found, expected, rtol=1e-6)


def test_multi_delete_needs_two_examples():
    run = family_run(method := MultiDelete(), "image_text", forget=[0])
    with pytest.raises(UsageError, match="two examples"):
        method.prepare(run)


# RUM ---------------------------------------------------------------------------------------------


def test_rum_unlearns_thirds_by_rising_loss_and_retains_what_waits():
    """low: fine-tuning; medium: gradient ascent at half the rate; high: fine-tuning on D_r alone."""
    forget, retain = [0, 1, 4], [2, 3]
    descent, ascent = node("finetune", "Finetune"), node("neggrad", "NegGrad")
    method = Rum(low=Stratum(descent), medium=Stratum(ascent, 0.5), high=Stratum(descent, 2.0))
    losses = [-np.log(softmax(features([r]) @ START.T)[0, LABELS[r]]) for r in forget]
    _, second, third = np.array(forget)[np.argsort(losses)].tolist()
    weight = START - LR * ce_gradient(START, [*retain, second, third])
    weight = weight + LR / 2 * ce_gradient(weight, [second])
    weight = weight - 2 * LR * ce_gradient(weight, retain)
    agree(unlearn(method, forget, retain), weight)


def test_rum_leaves_a_part_to_itself_and_takes_fewer_examples_than_parts():
    idle = {name: Stratum(node("original", "Original")) for name in ("low", "medium", "high")}
    assert np.array_equal(unlearn(Rum(**idle), [0, 1, 4], [2, 3]), START)
    run = tiny_run(Rum(), [0], [2, 3])
    assert [part.tolist() for part in strata(run, 3)] == [[0], [], []]
    assert np.array_equal(finish(Rum(), run), START)  # the only example is in the part that is left alone


def test_rum_refuses_what_is_no_method_to_go_on_with():
    with pytest.raises(UsageError, match="does not go on"):
        Rum(low=Stratum(node("retrain", "Retrain")))
    with pytest.raises(UsageError, match="node of a method"):
        Stratum({"name": "salun"})


def test_rum_reads_what_its_parts_read():
    assert Rum().reads == {"forget", "retain"}
    rewinding = Stratum(node("scrub", "Scrub", rewind=True))
    assert Rum(high=rewinding).reads == {"forget", "retain", "validation"}
    assert Finetune().reads == {"retain"}
