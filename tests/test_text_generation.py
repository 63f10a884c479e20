"""Text generation: what a model reads, which tokens count, and what it writes."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from transformers import PreTrainedTokenizerFast

from mubench import catalog, divergence, models
from mubench.checking import models_for
from mubench.data import Batch, Columns, Dataset, Paired
from mubench.engine import Engine
from mubench.errors import UsageError
from mubench.methods.neggrad import NegGrad
from mubench.methods.random_label import RandomLabel
from mubench.modalities import token_ids, tokens
from mubench.modalities.base import BrokenRow
from mubench.modalities.text_alternatives import TextAlternatives
from mubench.modalities.text_generation import TextGeneration
from mubench.plan import Planner
from mubench.prediction import predict
from mubench.progress import Reporter
from mubench.run import Run
from mubench.schema import Recipe, Trainer

DIRS = catalog.config_dirs()
NAMES = models_for("text_generation", DIRS)
MINI = [name for name in NAMES if name.startswith("mini/")]
HUB = [name for name in NAMES if name not in MINI]
PROMPTS = ["who is ada?", "where was boris born, and when?", "what is it?", "who?"]
ANSWERS = ["ada is a painter.", "in oslo.", "it is a boat, a small boat.", "no."]
ROWS = {"prompt": PROMPTS, "answer": ANSWERS}


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    torch.set_num_threads(1)


def node(name: str) -> dict:
    (cell,) = Planner(DIRS).cells([f"model={name}", "task=mini/samsum"], multirun=False)
    return cell.settings.model


class Bench:
    """Four rows, encoded, and a fresh model."""

    def __init__(self, name: str, folder: Path, modality: TextGeneration | None = None, rows=ROWS) -> None:
        self.modality = modality or TextGeneration("text_generation", max_prompt=12, max_answer=14)
        self.folder, settings = folder, node(name)
        self.modality.learn(rows, settings, folder)
        columns = self.modality.encode(rows, folder)
        self.columns = Columns(
            {k: v for k, v in columns.items() if k != "targets"}, columns["targets"], np.arange(4)
        )
        facts = {**self.modality.facts(columns, folder), "encoder": str(folder)}
        data = Dataset({"train": self.columns}, (), np.zeros(4, np.int64), None, facts)
        self.spec = models.describe(settings, data, self.modality)
        self.model = self.spec.fresh(1).eval()
        self.tokenizer = tokens.load(folder)

    def batch(self, rows: list[int], generator: torch.Generator | None = None) -> Batch:
        taken = self.columns.take(torch.tensor(rows), torch.device("cpu"))
        return self.modality.prepare(taken, self.spec.input, generator)


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory) -> Bench:
    return Bench("mini/gpt2", tmp_path_factory.mktemp("gpt2"))


@pytest.fixture(scope="module")
def t5(tmp_path_factory) -> Bench:
    return Bench("mini/t5", tmp_path_factory.mktemp("t5"))


@pytest.fixture(params=["gpt2", "t5"])
def bench(request) -> Bench:
    return request.getfixturevalue(request.param)


def plain_ids(bench: Bench, text: str) -> list[int]:
    return bench.tokenizer(text, add_special_tokens=False)["input_ids"]


# Encoding --------------------------------------------------------------------------------------


def test_prompts_are_padded_on_the_left_for_a_decoder_alone_and_answers_are_ended(gpt2):
    mask, ids = gpt2.columns.inputs["prompt_mask"], gpt2.columns.inputs["prompt_ids"]
    lengths = mask.sum(dim=1)
    for row, prompt in enumerate(PROMPTS):
        wanted = [gpt2.tokenizer.bos_token_id, *plain_ids(gpt2, prompt)]  # no end before the answer
        assert ids[row, -len(wanted) :].tolist() == wanted and lengths[row] == len(wanted)
        assert not mask[row, : -len(wanted)].any()
        labels = gpt2.columns.targets[row]
        shown = labels[labels != -100].tolist()
        assert shown == [*plain_ids(gpt2, ANSWERS[row]), gpt2.tokenizer.eos_token_id]
    assert ids.dtype == torch.int32 and gpt2.columns.targets.dtype == torch.int64


def test_an_encoder_reads_prompts_padded_on_the_right_with_their_end(t5):
    mask, ids = t5.columns.inputs["prompt_mask"], t5.columns.inputs["prompt_ids"]
    for row, prompt in enumerate(PROMPTS):
        wanted = t5.tokenizer(prompt)["input_ids"]
        assert ids[row, : len(wanted)].tolist() == wanted and wanted[-1] == t5.tokenizer.eos_token_id
        assert mask[row].tolist() == [True] * len(wanted) + [False] * (12 - len(wanted))


def test_a_long_prompt_loses_its_own_end_and_a_long_answer_is_still_ended(tmp_path):
    modality = TextGeneration("g", template="ask: {prompt} answer:", max_prompt=9, max_answer=4)
    rows = {"prompt": ["a b c d e f g h i", "a", "b", "c"], "answer": ["a b c d e f", "b", "c", "d"]}
    bench = Bench("mini/gpt2", tmp_path, modality, rows)
    ids = bench.columns.inputs["prompt_ids"][0]
    assert bench.tokenizer.decode(ids, skip_special_tokens=True) == "ask : a b c d answer :"
    labels = bench.columns.targets[0].tolist()
    assert labels == [*plain_ids(bench, "a b c"), bench.tokenizer.eos_token_id]
    with pytest.raises(BrokenRow, match="max_prompt=4 has no room for the template alone"):
        TextGeneration("g", template="ask: {prompt} answer:", max_prompt=4).encode(rows, tmp_path)


def byte_level(folder: Path) -> PreTrainedTokenizerFast:
    """A tokenizer that merges a space into the next word, as GPT-2's."""
    from tokenizers import Tokenizer, decoders, pre_tokenizers, trainers
    from tokenizers import models as kinds

    tokenizer = Tokenizer(kinds.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=["<end>"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(["Question: who is ada?\nAnswer: ada is here"] * 9, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>")


def test_an_answer_has_the_tokens_that_it_has_behind_the_template(tmp_path):
    tokenizer = byte_level(tmp_path)
    before, separator = "\nAnswer:", " "
    (ids,) = token_ids.answers(tokenizer, ["ada is here"], before, separator)
    assert tokenizer.decode(ids) == " ada is here"
    whole = tokenizer("Question: who is ada?\nAnswer: ada is here")["input_ids"]
    assert whole[-len(ids) :] == ids
    assert ids != tokenizer("ada is here")["input_ids"]
    assert token_ids.without_end(tokenizer, "ada is here", 1) == "ada is"


def test_a_checkpoints_tokenizer_is_taken_and_pads_with_its_end(tmp_path):
    byte_level(tmp_path).save_pretrained(tmp_path / "theirs")
    modality = TextGeneration("g", template="Question: {prompt}\nAnswer:", max_prompt=30)
    model = {"build": {"auto": "AutoModelForCausalLM"}, "checkpoint": str(tmp_path / "theirs")}
    (tmp_path / "encoder").mkdir()
    modality.learn(ROWS, model, tmp_path / "encoder")
    facts = modality.facts({}, tmp_path / "encoder")
    assert facts["special"]["pad_token_id"] == facts["special"]["eos_token_id"]
    columns = modality.encode({"prompt": ["who is ada?"], "answer": ["here"]}, tmp_path / "encoder")
    tokenizer = tokens.load(tmp_path / "encoder")
    read = columns["prompt_ids"][0][columns["prompt_mask"][0]]
    assert tokenizer.decode(read) == "Question: who is ada?\nAnswer:"
    assert tokenizer.decode(columns["targets"][0][columns["targets"][0] != -100]) == " here<end>"
    assert modality.encoder(model) != modality.encoder({**model, "checkpoint": "other"})
    short = byte_level(tmp_path)
    short.model_max_length = 90
    short.save_pretrained(tmp_path / "short")
    with pytest.raises(UsageError, match="make 94 tokens: model 'small' takes 90"):
        modality.learn(ROWS, {**model, "name": "small", "checkpoint": str(tmp_path / "short")}, tmp_path)


@pytest.mark.parametrize(("field", "value", "said"), [
    ("prompt", "", "the prompt is empty"), ("answer", " \n", "the answer is empty"),
    ("answer", None, "the answer is empty"), ("prompt", 7, "the prompt is int, not a string")])  # fmt: skip
def test_texts_that_are_none_are_named(gpt2, field, value, said):
    rows = {**ROWS, field: [*ROWS[field][:2], value, ROWS[field][3]]}
    with pytest.raises(BrokenRow, match=said) as error:
        gpt2.modality.encode(rows, gpt2.folder)
    assert error.value.place == 2


@pytest.mark.parametrize(("settings", "said"), [
    ({"template": "no place"}, "must hold {prompt} once"), ({"max_answer": 1}, "leaves no room"),
    ({"augment": "shift"}, "modality.augment is one of none")])  # fmt: skip
def test_impossible_settings_are_refused(settings, said):
    with pytest.raises(UsageError, match=said):
        TextGeneration("g", **settings)


# Losses ----------------------------------------------------------------------------------------


def by_hand(bench: Bench, row: int) -> tuple[list[float], list[int]]:
    """The log-probability of each label token of one row, and the likeliest tokens; nothing padded."""
    mask, ids = bench.columns.inputs["prompt_mask"][row], bench.columns.inputs["prompt_ids"][row]
    prompt = ids[mask].long()[None]
    labels = bench.columns.targets[row]
    labels = labels[labels != -100]
    with torch.no_grad():
        if bench.model.config.is_encoder_decoder:
            start = torch.tensor([bench.spec.input.special["pad_token_id"]])
            shown = torch.cat([start, labels[:-1]])[None]
            scores = bench.model(input_ids=prompt, decoder_input_ids=shown).logits[0]
        else:
            whole = torch.cat([prompt, labels[None]], dim=1)
            scores = bench.model(input_ids=whole).logits[0, prompt.shape[1] - 1 : -1]
    found = F.log_softmax(scores, dim=-1)
    return [float(found[at, label]) for at, label in enumerate(labels)], found.argmax(-1).tolist()


def test_the_loss_is_that_of_the_answers_tokens_without_any_padding(bench):
    """Four rows of other lengths in one batch against one row at a time, never padded."""
    batch = bench.batch([0, 1, 2, 3])
    with torch.no_grad():
        logits = bench.modality.logits(bench.model, batch)
    losses = bench.modality.losses(logits, batch.targets)
    stored = bench.modality.predictions(logits, batch)
    errors = bench.modality.errors(logits, batch.targets)
    for row in range(4):
        known, likeliest = by_hand(bench, row)
        labels = batch.targets[row][batch.targets[row] != -100].tolist()
        assert float(losses[row]) == pytest.approx(-sum(known) / len(known), rel=1e-5)
        assert stored["log_probs"][row, : len(known)].tolist() == pytest.approx(known, rel=1e-4, abs=1e-5)
        assert not stored["log_probs"][row, len(known) :].any()
        assert stored["guesses"][row, : len(known)].tolist() == likeliest
        wrong = np.mean([a != b for a, b in zip(labels, likeliest, strict=True)])
        assert float(errors[row]) == pytest.approx(wrong)
    assert stored["log_probs"].shape == stored["guesses"].shape == stored["targets"].shape == (4, 14)


def test_padding_and_neighbours_change_nothing(bench):
    """The shortest row alone, or beside the longest: prompt and answer are then padded."""
    whole, alone = bench.batch([1, 3]), bench.batch([3])
    assert alone.inputs["prompt_ids"].shape[1] < whole.inputs["prompt_ids"].shape[1]
    with torch.no_grad():
        first = bench.modality.losses(bench.modality.logits(bench.model, whole), whole.targets)[1]
        second = bench.modality.losses(bench.modality.logits(bench.model, alone), alone.targets)[0]
    assert float(first) == pytest.approx(float(second), rel=1e-5)


def test_the_tokens_that_a_part_works_on_are_counted_alike_alone_and_beside_a_longer_answer(bench):
    whole, alone = bench.batch([1, 3]), bench.batch([3])
    beside, by_itself = (bench.modality.own(bench.model, batch, bench.model) for batch in (whole, alone))
    assert int(beside[1].sum()) == int(by_itself[0].sum()) > 0


def test_the_head_is_not_computed_where_nothing_is_predicted(gpt2):
    seen = []
    hook = gpt2.model.lm_head.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].shape[1]))
    batch = gpt2.batch([1, 3])
    logits = gpt2.modality.logits(gpt2.model, batch)
    hook.remove()
    longest = max(int((batch.targets[row] != -100).sum()) for row in range(2))
    assert seen == [longest] and logits.shape[:2] == (2, longest)


def test_losses_of_two_tokens_by_hand():
    """p = 1/2 and 1/4 of the labels, a third place padded whose score must not matter."""
    modality = TextGeneration("g")
    scores = torch.log(torch.tensor([[[0.5, 0.5, 1e-9], [0.25, 0.5, 0.25], [1e-9, 1e-9, 1.0]]]))
    targets = torch.tensor([[0, 0, -100]])
    scores.requires_grad_(True)
    loss = modality.losses(scores, targets)
    assert loss.tolist() == pytest.approx([(math.log(2) + math.log(4)) / 2])
    assert modality.errors(scores, targets).tolist() == [0.5]
    (gradient,) = torch.autograd.grad(loss.sum(), scores)
    assert not gradient[0, 2].any() and gradient[0, 0].any()


def test_divergence_counts_label_tokens_only_and_vanishes_with_its_gradient_for_equals():
    teacher = torch.log(torch.tensor([[[0.5, 0.5], [0.25, 0.75]], [[0.9, 0.1], [0.1, 0.9]]]))
    student = torch.log(torch.tensor([[[0.25, 0.75], [0.25, 0.75]], [[0.9, 0.1], [0.9, 0.1]]]))
    targets = torch.tensor([[1, 0, -100], [0, -100, -100]])
    modality = TextGeneration("g")
    found = modality.divergence(teacher, student, targets)
    one = 0.5 * math.log(2) + 0.5 * math.log(2 / 3)
    assert found.tolist() == pytest.approx([one / 2, 0.0], abs=1e-6)
    same = teacher.clone().requires_grad_(True)
    zero = modality.divergence(teacher, same, targets, 4.0)
    (gradient,) = torch.autograd.grad(zero.sum(), same)
    assert zero.tolist() == [0, 0] and gradient.abs().max() < 1e-7
    longer = F.pad(student, (0, 0, 0, 3), value=7.0)  # scores of a batch with a longer answer
    assert torch.equal(modality.divergence(teacher, longer, targets), found)
    assert divergence.kl_of_tokens(teacher, student, torch.zeros(2, 2, dtype=torch.bool)).tolist() == [0, 0]


# Random answers --------------------------------------------------------------------------------


def test_random_answers_are_the_donors_and_never_the_true_one(gpt2):
    targets = gpt2.columns.targets
    generator = torch.Generator().manual_seed(0)
    donors = targets[[1, 1, 3, 0]]
    found = gpt2.modality.relabel(targets, donors, 0, generator)
    assert torch.equal(found[[0, 2, 3]], donors[[0, 2, 3]])
    assert not torch.equal(found[1], targets[1]) and any(torch.equal(found[1], row) for row in donors)
    with pytest.raises(UsageError, match="examples whose answers differ"):
        gpt2.modality.relabel(targets[:1], targets[:1], 0, generator)


def run_of(bench: Bench, method, **recipe) -> Run:
    settings = {"epochs": 1, "batch_size": 4, "lr": 0.1, "schedule": "constant", "clip": None}
    sgd = {"name": "sgd", "_target_": "torch.optim.SGD", "momentum": 0.0}
    rows = {"forget": torch.tensor([0, 1]), "retain": torch.tensor([2, 3])}
    run = Run(
        bench.spec.fresh(1), bench.spec, bench.modality, {"train": bench.columns},
        {name: rows[name] for name in method.reads}, Recipe(**{**settings, "optimizer": sgd, **recipe}),
        Engine(Trainer(device="cpu")), seed=7, reporter=Reporter(quiet=True),
    )  # fmt: skip
    run.hooks = method.hooks(run)
    return run


def test_a_relabelled_batch_shows_the_model_the_answer_that_it_is_to_give(bench):
    run = run_of(bench, RandomLabel("random_label"))
    batch = bench.batch([0, 1, 2, 3])
    swapped = run.relabel(batch)
    assert torch.equal(swapped.targets[2:], batch.targets[2:])
    retained = [row.tolist() for row in batch.targets[2:]]
    assert all(row.tolist() in retained for row in swapped.targets[:2])
    direct = Batch(batch.inputs, swapped.targets, batch.index)
    with torch.no_grad():
        assert torch.equal(run.logits(swapped), bench.modality.logits(run.model, direct))
    assert not torch.equal(run.losses(swapped)[:2], run.losses(batch)[:2])


def test_one_step_of_gradient_ascent_by_hand(bench):
    """SGD: w + lr * the gradient of the mean over D_f of the mean over each answer's tokens."""
    run = run_of(bench, NegGrad("neggrad"))
    start = {n: w.detach().clone() for n, w in run.model.named_parameters()}
    run.model.train()
    batch = bench.batch([0, 1], torch.Generator())
    losses = bench.modality.losses(bench.modality.logits(run.model, batch), batch.targets)
    gradients = torch.autograd.grad(losses.mean(), list(run.model.parameters()), allow_unused=True)
    NegGrad("neggrad").unlearn(run)
    for (name, weight), gradient in zip(run.model.named_parameters(), gradients, strict=True):
        moved = torch.zeros_like(weight) if gradient is None else 0.1 * gradient
        assert torch.isfinite(weight).all()
        torch.testing.assert_close(weight.detach(), start[name] + moved, atol=1e-6, rtol=1e-4)


def test_forget_and_retain_rows_share_a_forward_whatever_their_lengths(bench):
    run = run_of(bench, RandomLabel("random_label"))
    taken = [bench.columns.take(torch.tensor(rows), torch.device("cpu")) for rows in ([0, 3], [1, 2])]
    paired = run.prepare(Paired(*taken))
    with torch.no_grad():
        forget, retain = paired.split(run.logits(paired.joined()))
    teacher = bench.spec.fresh(2).eval()
    run.model.eval()
    alone = run.divergence(bench.batch([0, 3]), teacher)
    together = run.divergence(paired.forget, teacher, logits=forget)
    torch.testing.assert_close(alone, together, atol=1e-6, rtol=1e-4)
    assert len(retain) == 2 and not bench.modality.remembers


# Predictions and generated texts ---------------------------------------------------------------


def fitted(bench: Bench, steps: int = 120) -> torch.nn.Module:
    """A model that knows the four answers by heart."""
    model = bench.spec.fresh(3)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    batch = bench.batch([0, 1, 2, 3])
    for _ in range(steps):
        bench.modality.losses(bench.modality.logits(model, batch), batch.targets).mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    return model.eval()


def test_a_model_that_knows_the_answers_writes_them_and_stops_at_their_end(bench):
    model, batch = fitted(bench), bench.batch([0, 1, 2, 3])
    with torch.no_grad():
        assert not bench.modality.errors(bench.modality.logits(model, batch), batch.targets).any()
    made = bench.modality.generate(model, batch, bench.spec.input, torch.Generator())
    true = tuple(bench.tokenizer.decode(plain_ids(bench, answer)) for answer in ANSWERS)
    assert made["references"] == true
    assert made["texts"] == true  # nothing behind the end, though the longest answer takes more tokens
    alone = bench.modality.generate(model, bench.batch([3]), bench.spec.input, torch.Generator())
    assert alone["texts"] == true[3:]


def test_predictions_of_several_batches_have_one_width(bench):
    engine = Engine(Trainer(device="cpu"))
    found = predict(bench.model, bench.columns, None, bench.modality, bench.spec.input, engine, 3)
    assert found.log_probs.shape == (4, 14) and found.logits is None
    whole = predict(bench.model, bench.columns, None, bench.modality, bench.spec.input, engine, 4)
    np.testing.assert_allclose(found.losses, whole.losses, rtol=1e-5)


def test_alternatives_are_scored_per_token_where_a_row_has_some(tmp_path):
    rows = {**ROWS, "paraphrase": ["a painter.", None, "a boat.", None],
            "perturbed": [["a boat.", "no, in oslo."], [], ["ada."], []]}  # fmt: skip
    modality = TextAlternatives("g", max_prompt=12, max_answer=14, alternatives=2)
    bench = Bench("mini/gpt2", tmp_path, modality, rows)
    assert bench.columns.inputs["alternatives"].shape == (4, 3, 14)
    engine = Engine(Trainer(device="cpu"))
    found = predict(bench.model, bench.columns, None, modality, bench.spec.input, engine, 3).alternatives
    known = np.array([[1, 1, 1], [0, 0, 0], [1, 1, 0], [0, 0, 0]], bool)
    assert np.array_equal(np.isfinite(found), known)
    asked = {"prompt": [PROMPTS[0]] * 4, "answer": ["a painter.", "a boat.", "no, in oslo.", "no."]}
    columns = TextGeneration("g", max_prompt=12, max_answer=14).encode(asked, tmp_path)
    inputs = {k: v for k, v in columns.items() if k != "targets"}
    plain = Columns(inputs, columns["targets"], np.arange(4))
    base = TextGeneration("g", max_prompt=12, max_answer=14)
    losses = predict(bench.model, plain, None, base, bench.spec.input, engine, 4).losses
    np.testing.assert_allclose(found[0], -losses[:3], rtol=1e-4)
    assert set(bench.batch([0], torch.Generator()).inputs) == {"prompt_ids", "prompt_mask"}
    with pytest.raises(BrokenRow, match="3 false answers, more than 2"):
        modality.encode({**rows, "perturbed": [["a"] * 3, [], [], []]}, tmp_path)
    with pytest.raises(BrokenRow, match="the false answer is empty") as error:
        modality.encode({**rows, "perturbed": [["a"], [], [""], []]}, tmp_path)
    assert error.value.place == 2


# Models ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MINI)
def test_every_family_in_small_gives_scores_and_loads_from_a_folder(name, tmp_path):
    (tmp_path / "encoder").mkdir()
    bench = Bench(name, tmp_path / "encoder")
    batch = bench.batch([0, 1, 2, 3])
    with torch.no_grad():
        logits = bench.modality.logits(bench.model, batch)
    assert logits.shape[0] == 4 and logits.shape[2] == len(bench.tokenizer) and torch.isfinite(logits).all()
    assert bench.batch([0]).targets.shape == (1, 14)
    texts = bench.modality.generate(bench.model, batch, bench.spec.input, torch.Generator())["texts"]
    assert len(texts) == 4
    bench.model.half().save_pretrained(tmp_path / "saved")
    bench.tokenizer.save_pretrained(tmp_path / "saved")
    build = {"_target_": "mubench.networks.pretrained.pretrained", "auto": node(name)["build"]["auto"]}
    spec = models.ModelSpec(build, 0, bench.spec.shape, bench.spec.input, str(tmp_path / "saved"))
    start, fresh = spec.start(1).eval(), spec.fresh(1)
    assert {w.dtype for m in (start, fresh) for w in m.parameters()} == {torch.float32}
    with torch.no_grad():
        torch.testing.assert_close(bench.modality.logits(start, batch), logits, atol=0.05, rtol=0.05)
    drawn = [n for n, w in start.named_parameters() if w.std() > 0]
    assert drawn and not any(
        torch.equal(dict(fresh.named_parameters())[n], start.get_parameter(n)) for n in drawn
    )


@pytest.mark.parametrize("name", HUB)
def test_every_backbone_names_a_hub_id_a_class_and_a_template(name):
    (cell,) = Planner(DIRS).cells([f"model={name}", "task=samsum"], multirun=False)
    settings = cell.settings.model
    assert settings["name"] == name and settings["checkpoint"].count("/") == 1
    auto = settings["build"]["auto"]
    assert auto in ("AutoModelForCausalLM", "AutoModelForSeq2SeqLM")
    assert cell.settings.modality["template"] != "{prompt}"


def test_every_backbone_of_the_generation_tasks_is_there():
    assert len(HUB) == 12 and len(MINI) == 7
