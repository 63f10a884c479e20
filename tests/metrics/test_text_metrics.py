"""Metrics of token models and of written texts, against values worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import ks_2samp

from mubench.metrics import METRICS, gaps, text, tofu, tokens
from mubench.metrics.base import Outputs, Unavailable, View

MODULES = {module.__name__ for module in (text, tokens, tofu, gaps)}
OURS = {name: m for name, m in METRICS.items() if m.function.__module__ in MODULES
        and m.reads in ("tokens", "texts", "alternatives")}  # fmt: skip
SPLIT = [m for m in OURS.values() if m.scope == "split"]
WIDE = [m for m in OURS.values() if m.scope != "split"]
SPLITS = ("test", "validation", "retain", "forget", "real_authors", "world_facts")
# Which splits each metric reads, said apart from the code.
READS = {
    **{f"gap_{split}_rougeL": {split} for split in ("test", "forget", "retain", "validation")},
    **{f"gap_{split}_{name}": {split} for split in ("test", "forget")
       for name in ("label_probability", "token_accuracy", "truth_ratio")},
    **{f"gap_forget_{name}": {"forget"} for name in ("exact_memorisation", "extraction_strength")},
    "forget_quality": {"forget"}, "model_utility": {"retain", "real_authors", "world_facts"},
}  # fmt: skip
WORDS = np.array(["red", "green", "blue", "grey", "pink", "black"])
split = pytest.mark.parametrize("metric", SPLIT, ids=lambda m: m.name)
wide = pytest.mark.parametrize("metric", WIDE, ids=lambda m: m.name)


def answers(probabilities, right=None, **more) -> Outputs:
    """Label tokens with these probabilities, a list for each example; `right` where they are guessed."""
    length = max(map(len, probabilities))
    targets = np.full((len(probabilities), length), -100)
    log_probs, guesses = np.zeros(targets.shape, np.float32), np.full(targets.shape, -100)
    for row, known in enumerate(probabilities):
        targets[row, : len(known)], log_probs[row, : len(known)] = 5, np.log(known)
        guessed = np.ones(len(known)) if right is None else np.array(right[row])
        guesses[row, : len(known)] = np.where(guessed, 5, 6)
    losses = np.array([-np.mean(np.log(known)) for known in probabilities], np.float32)
    return Outputs(losses, targets, log_probs=log_probs, guesses=guesses, **more)


def random_answers(count: int, seed: int, skill: float = 0.5) -> Outputs:
    """Answers of one to six tokens, written texts, a paraphrase and three false answers."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 7, count)
    known = [rng.uniform(0.1, 1, size) ** (1 - skill) for size in sizes]
    right = [rng.random(size) < skill for size in sizes]
    true = [rng.choice(WORDS, 5) for _ in range(count)]
    made = [np.where(rng.random(5) < skill, words, "odd") for words in true]
    alternatives = np.log(rng.uniform(0.05, 1, (count, 4))).astype(np.float32)
    alternatives[:, 1:] -= skill
    return answers(
        known, right, alternatives=alternatives, sampled=np.arange(count),
        texts=tuple(map(" ".join, made)), references=tuple(map(" ".join, true)),
    )  # fmt: skip


@pytest.fixture(scope="module")
def view() -> View:
    models = {
        role: {name: random_answers(40, place, skill) for place, name in enumerate(SPLITS)}
        for role, skill in (("original", 0.9), ("unlearned", 0.4), ("retrained", 0.7))
    }
    return View("unlearned", models)


EMPTY = Outputs(np.zeros(0, np.float32), np.zeros((0, 3), int), log_probs=np.zeros((0, 3)),
                guesses=np.zeros((0, 3), int), alternatives=np.zeros((0, 4)),
                texts=(), references=())  # fmt: skip


def changed(view: View, role: str, name: str, outputs: Outputs | None) -> View:
    splits = {**view.models[role], name: outputs}
    if outputs is None:
        del splits[name]
    return replace(view, models={**view.models, role: splits})


def diverged(outputs: Outputs) -> Outputs:
    losses = outputs.losses.copy()
    losses[7] = np.nan
    return replace(outputs, losses=losses)


# What holds for all of them ----------------------------------------------------------------------


def test_the_table_of_splits_names_every_metric():
    assert set(READS) == {metric.name for metric in WIDE}


@pytest.mark.parametrize("metric", OURS.values(), ids=OURS)
def test_declares_itself(metric):
    goals = {metric.goal} if isinstance(metric.goal, str) else set(metric.goal.values())
    assert goals and goals <= {"higher", "lower", "match"}
    assert metric.summary.endswith((".", "]")) and len(metric.summary) <= 110
    assert metric.reads in ("tokens", "texts", "alternatives")
    assert metric.scope != "relative" or metric.needs == {"retrained"}


@split
def test_a_split_metric_gives_a_share_and_refuses_empty_and_diverged(metric):
    outputs = random_answers(20, 0)
    value = metric.function(outputs)
    assert type(value) is float and 0 <= value <= 1 and value == metric.function(outputs)
    for refused in (EMPTY, diverged(outputs)):
        with pytest.raises(Unavailable):
            metric.function(refused)
    bare = Outputs(outputs.losses, outputs.targets)
    with pytest.raises(Unavailable, match="no "):
        metric.function(bare)
    with pytest.raises(Unavailable, match="no "):
        metric.function(Outputs(outputs.losses, np.zeros(20, int), np.zeros((20, 3))))


@wide
def test_a_wide_metric_reads_its_splits_and_roles_only(metric, view):
    value = metric.function(view)
    assert type(value) is float and 0 <= value <= 1 and value == metric.function(view)
    for name in SPLITS:
        for outputs in (None, EMPTY):
            asked = changed(view, "unlearned", name, outputs)
            if name in READS[metric.name]:
                with pytest.raises(Unavailable, match=name):
                    metric.function(asked)
            else:
                assert metric.function(asked) == value
    for role in ("original", "retrained"):
        asked = replace(view, models={r: s for r, s in view.models.items() if r != role})
        if role in metric.needs:
            with pytest.raises(Unavailable, match=f"no {role} model"):
                metric.function(asked)
        else:
            assert metric.function(asked) == value


@wide
def test_one_diverged_row_is_enough(metric, view):
    for name in READS[metric.name]:
        with pytest.raises(Unavailable, match="1 of 40 losses are not finite"):
            metric.function(changed(view, "unlearned", name, diverged(view.outputs(name))))


@wide
def test_the_retrained_model_is_at_no_distance_from_itself(metric, view):
    if metric.scope == "relative":
        itself = replace(view, models={**view.models, "unlearned": view.models["retrained"]})
        best = 0.0 if metric.goal == "lower" else 1.0
        assert metric.function(itself) == pytest.approx(best)
        assert metric.function(view) != pytest.approx(best, abs=1e-3)


# By hand -----------------------------------------------------------------------------------------


def test_label_probability_is_the_geometric_mean_over_an_answers_tokens():
    """(1/2 1/8)^(1/2) = 1/4 and 1/2: 3/8 on average."""
    assert tokens.label_probability(answers([[0.5, 0.125], [0.5]])) == pytest.approx(3 / 8)


def test_token_accuracy_is_over_tokens_and_memorisation_over_examples():
    """1 of 3 and 1 of 1 right: 2 of 4 tokens, (1/3 + 1) / 2 of the examples. Padding is no right guess."""
    outputs = answers([[0.5] * 3, [0.5]], [[1, 0, 0], [1]])
    assert tokens.token_accuracy(outputs) == 0.5
    assert tokens.exact_memorisation(outputs) == pytest.approx(2 / 3)


def test_extraction_strength_counts_from_the_end():
    """wrong right right -> 2/3; right right wrong -> 0; all right -> 1; padding does not break it."""
    outputs = answers([[0.5] * 3, [0.5] * 3, [0.5]], [[0, 1, 1], [1, 1, 0], [1]])
    assert tokens.extraction_strength(outputs) == pytest.approx((2 / 3 + 0 + 1) / 3)


def test_an_example_without_label_tokens_is_refused():
    outputs = answers([[0.5], [0.5]])
    outputs.targets[1] = -100
    with pytest.raises(Unavailable, match="1 examples have no label token"):
        tokens.token_accuracy(outputs)
    bad = answers([[0.5], [0.5]])
    bad.log_probs[0, 0] = -np.inf
    with pytest.raises(Unavailable, match="1 of 2 rows of token probabilities are not finite"):
        tokens.label_probability(bad)


def written(*pairs: tuple[str, str]) -> Outputs:
    texts, references = zip(*pairs, strict=True)
    return replace(answers([[0.5]] * len(pairs)), texts=texts, references=references)


def test_rouge_by_hand():
    """ "the red cat sat" for "the cat sat down": 3 of 4 words both ways, 1 of 3 pairs, a common run of 3."""
    outputs = written(("the red cat sat", "the cat sat down"))
    assert text.rouge1(outputs) == text.rougeL(outputs) == pytest.approx(3 / 4)
    assert text.rouge2(outputs) == pytest.approx(1 / 3)
    assert text.rouge1(written(("sat cat", "cat sat"))) == 1
    assert text.rougeL(written(("sat cat", "cat sat"))) == 0.5
    assert text.rougeL(written(("", "cat"), ("cats", "cat"))) == 0.5  # words are stemmed


def test_rouge_needs_written_texts():
    with pytest.raises(Unavailable, match="no texts were generated"):
        text.rougeL(answers([[0.5]]))
    sampled = replace(answers([[0.5]]), texts=(), references=())
    with pytest.raises(Unavailable, match="sample of generated texts is empty"):
        text.rougeL(sampled)


def test_the_gap_in_rouge():
    """.75 against 1."""
    mine, theirs = written(("the red cat sat", "the cat sat down")), written(("cat", "cat"))
    pair = View("unlearned", {"unlearned": {"forget": mine}, "retrained": {"forget": theirs}})
    assert METRICS["gap_forget_rougeL"].function(pair) == pytest.approx(0.25)


def choices(*rows, **more) -> Outputs:
    """Alternatives with these probabilities per token; None is none."""
    values = np.array([[np.nan if p is None else np.log(p) for p in row] for row in rows], np.float32)
    return answers([[0.5]] * len(rows), alternatives=values, **more)


def test_truth_ratio_by_hand():
    """False at .1 and .3, paraphrase .4: R = .5; one false at .8 against .4: R = 2 counts 0; none at all."""
    outputs = choices([0.4, 0.1, 0.3], [0.4, 0.8, None], [None, None, None])
    assert tofu.truth_ratios(outputs).tolist() == pytest.approx([0.5, 2.0])
    assert tofu.truth_ratio(outputs) == pytest.approx((0.5 + 0) / 2)
    with pytest.raises(Unavailable, match="no example of the split has alternative answers"):
        tofu.truth_ratio(choices([None, None], [0.5, None], [None, 0.5]))


def test_a_hopeless_paraphrase_overflows_nothing():
    outputs = choices([0.5, 0.5])
    outputs.alternatives[0, 0] = -1e4
    assert tofu.truth_ratio(outputs) == 0


def test_forget_quality_is_the_p_value_of_the_truth_ratios():
    rng = np.random.default_rng(0)
    mine, theirs = (choices(*rng.uniform(low, 1, (30, 3))) for low in (0.1, 0.5))
    pair = View("unlearned", {"unlearned": {"forget": mine}, "retrained": {"forget": theirs}})
    wanted = ks_2samp(tofu.truth_ratios(mine), tofu.truth_ratios(theirs)).pvalue
    assert tofu.forget_quality(pair) == pytest.approx(wanted)


def test_model_utility_is_the_harmonic_mean_of_nine():
    """Probability, ROUGE-L recall, 1 - R. Retain: .5, 1, 1 - .5. The others: .5 / (.5 + .3 + .2), 1/2, .5."""
    retain = replace(choices([0.5, 0.25]), texts=("a cat here",), references=("a cat",))
    other = replace(choices([0.5, 0.3, 0.2]), texts=("a dog",), references=("a cat",))
    view = View("unlearned", {"unlearned": {"retain": retain, "real_authors": other, "world_facts": other}})
    parts = [0.5, 1, 0.5, *[0.5, 0.5, 0.5] * 2]
    assert tofu.model_utility(view) == pytest.approx(9 / sum(1 / part for part in parts))
    wrong = replace(other, texts=("dog",))
    assert tofu.model_utility(changed(view, "unlearned", "world_facts", wrong)) == 0.0
    with pytest.raises(Unavailable, match="no texts were generated"):
        tofu.model_utility(changed(view, "unlearned", "retain", replace(retain, texts=None)))


def test_forget_scores_are_to_match_and_the_others_to_be_high():
    for name in ("rougeL", "label_probability", "token_accuracy", "truth_ratio"):
        assert METRICS[name].goal["forget"] == "match" and METRICS[name].goal["real_authors"] == "higher"
