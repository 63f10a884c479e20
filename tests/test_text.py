"""Texts: encoded once, cut to the longest of a batch, and every family that reads them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mubench import catalog, models
from mubench.checking import models_for
from mubench.data import Batch, Columns, Dataset
from mubench.errors import UsageError
from mubench.modalities import tokens
from mubench.modalities.base import BrokenRow
from mubench.modalities.text import Text, TextSpec
from mubench.plan import Planner

DIRS = catalog.config_dirs()
NAMES = models_for("text", DIRS)
MINI = [name for name in NAMES if name.startswith("mini/")]
HUB = [name for name in NAMES if name not in MINI]
TEXTS = ["The film was good.", "A dull, dull film with no end that anyone would wait for.", "Good!"]


def node(name: str) -> dict:
    words = [f"model={name}", "task=mini/imdb"]
    return Planner(DIRS).cells(words, multirun=False)[0].settings.model


def learned(folder: Path, model: dict | None = None, max_length: int = 12) -> Text:
    """A text modality whose tokenizer lies in the folder."""
    text = Text("text", max_length=max_length)
    text.learn({"text": TEXTS * 3}, model or {"name": "tiny", "vocabulary": 80}, folder)
    return text


def data(text: Text, folder: Path, classes: int = 3) -> Dataset:
    columns = text.encode({"text": TEXTS}, folder)
    train = Columns(columns, torch.arange(3) % classes, torch.arange(3).numpy())
    names = tuple(map(str, range(classes)))
    return Dataset({"train": train}, names, train.labels, None, text.facts(columns, folder))


def batch(dataset: Dataset, rows: list[int]) -> Batch:
    return dataset["train"].take(torch.tensor(rows), torch.device("cpu"))


def test_texts_become_ids_of_one_width_between_cls_and_sep(tmp_path):
    text = learned(tmp_path)
    columns = text.encode({"text": TEXTS}, tmp_path)
    tokenizer = tokens.load(tmp_path)
    assert columns["input_ids"].shape == (3, 12) and columns["input_ids"].dtype == torch.int32
    ids, lengths = columns["input_ids"], columns["length"].tolist()
    assert (ids[:, 0] == tokenizer.cls_token_id).all()
    assert lengths[1] == 12 and max(lengths[0], lengths[2]) < 12  # the second is cut, its end kept
    for row, length in enumerate(lengths):
        assert ids[row, length - 1] == tokenizer.sep_token_id
        assert (ids[row, length:] == tokenizer.pad_token_id).all()
    assert tokenizer.decode(ids[0], skip_special_tokens=True) == "the film was good."


def test_a_batch_is_as_wide_as_its_longest_text(tmp_path):
    text = learned(tmp_path, max_length=40)
    dataset = data(text, tmp_path)
    columns = dataset["train"].inputs
    short, long = columns["length"][2].item(), columns["length"][0].item()
    spec = text.expects({}, dataset.facts)
    prepared = text.prepare(batch(dataset, [2, 0]), spec, None).inputs
    assert prepared["input_ids"].shape == prepared["attention_mask"].shape == (2, long)
    assert prepared["input_ids"].dtype == torch.int64
    assert prepared["attention_mask"].sum(1).tolist() == [short, long]
    assert (prepared["input_ids"][0, short:] == spec.padding).all()


@pytest.mark.parametrize(
    ("value", "wrong"),
    [("  ", "the text is empty"), (None, "the text is NoneType, not a string"),
     (7, "the text is int, not a string")],
)  # fmt: skip
def test_a_row_without_a_text_is_named(tmp_path, value, wrong):
    text = Text("text", max_length=12)
    text.learn({"text": [*TEXTS, value]}, {"vocabulary": 80}, tmp_path)
    with pytest.raises(BrokenRow, match=wrong) as error:
        text.encode({"text": [TEXTS[0], value]}, tmp_path)
    assert error.value.place == 1


def test_settings_that_cannot_be_are_refused(tmp_path):
    with pytest.raises(UsageError, match=r"modality\.augment is one of none; not 'shift'"):
        Text("text", augment="shift")
    with pytest.raises(UsageError, match="leaves no room for a text"):
        Text("text", max_length=2)
    learned(tmp_path)
    tokenizer = tokens.load(tmp_path)
    tokenizer.model_max_length = 16
    (tmp_path / "short").mkdir()
    tokenizer.save_pretrained(tmp_path / "short")
    settings = {"name": "short", "checkpoint": str(tmp_path / "short")}
    with pytest.raises(UsageError, match=r"max_length=32: model 'short' takes 16 tokens"):
        (tmp_path / "out").mkdir()
        learned(tmp_path / "out", settings, max_length=32)


def test_a_tokenizer_whose_package_is_missing_names_the_extra(tmp_path, monkeypatch):
    import transformers

    def read(place):
        raise ValueError("`tiktoken` is required to read a `tiktoken` file")

    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", read)
    settings = {"name": "deberta", "checkpoint": "some/where"}
    monkeypatch.setattr("mubench.extras.find_spec", lambda name: name)
    with pytest.raises(UsageError, match=r"cannot load the tokenizer 'some/where' from the hub"):
        learned(tmp_path, settings)
    monkeypatch.setattr("mubench.extras.find_spec", lambda name: None if name == "sentencepiece" else name)
    with pytest.raises(
        UsageError, match=r"'some/where' needs the package sentencepiece: .*\[sentencepiece\]"
    ):
        learned(tmp_path, settings)


def test_the_tokenizer_and_the_cut_name_the_cache():
    known = [Text("text", max_length=n).encoder(model) for n in (16, 32)
             for model in ({"checkpoint": "a/b"}, {"checkpoint": "a/c"}, {"vocabulary": 50})]  # fmt: skip
    assert len({str(sorted(entry.items())) for entry in known}) == 6


def test_roberta_has_room_for_positions_behind_the_id_that_pads():
    shape = Text("text").shape(TextSpec(vocabulary=100, padding=1, longest=512))
    assert shape == {"vocab_size": 100, "pad_token_id": 1, "max_position_embeddings": 514}


@pytest.mark.parametrize("name", MINI)
def test_every_family_ignores_padding_and_is_loaded_from_a_folder(name, tmp_path):
    """The longest text allowed fits; a text scores the same alone and padded; a saved model comes back.

    What the hub leaves: config.json, model.safetensors and the tokenizer; 7 classes before, 3 now.
    """
    text, settings = learned(tmp_path), node(name)
    dataset = data(text, tmp_path)
    model = models.describe(settings, dataset, text).start(1).eval()
    spec = text.expects(settings, dataset.facts)
    together, alone = (
        text.logits(model, text.prepare(batch(dataset, rows), spec, None)) for rows in ([0, 1, 2], [2])
    )
    assert together.shape == (3, 3)
    torch.testing.assert_close(together[2:], alone, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(together[0], together[1])

    saved = models.describe(settings, data(text, tmp_path, classes=7), text).start(3)
    saved.save_pretrained(tmp_path)
    hub = {
        "build": {"_target_": "mubench.networks.pretrained.pretrained",
                  "auto": "AutoModelForSequenceClassification"},
        "checkpoint": str(tmp_path),
    }  # fmt: skip
    loaded = models.describe(hub, dataset, text).start(1).eval()
    assert loaded(**text.prepare(batch(dataset, [0]), spec, None).inputs).logits.shape == (1, 3)
    body = {n: v for n, v in saved.state_dict().items() if n.split(".")[0] == saved.base_model_prefix}
    found = loaded.state_dict()
    assert len(body) > 10 and all(torch.equal(found[n], v) for n, v in body.items())


@pytest.mark.parametrize("name", HUB)
def test_every_backbone_names_a_hub_id_and_a_recipe(name):
    cell = Planner(DIRS).cells([f"model={name}", "task=imdb"], multirun=False)[0].settings
    assert cell.model["name"] == name and cell.model["checkpoint"].count("/") == 1
    assert cell.model["build"]["auto"] == "AutoModelForSequenceClassification"
    recipe = cell.training
    assert (recipe.lr, recipe.batch_size, recipe.epochs) == (5e-5, 32, 10)
    assert cell.modality["max_length"] == 256


def test_all_eleven_backbones_of_the_text_tasks_are_there():
    assert len(HUB) == 11 and len(MINI) == 6


def test_a_learned_tokenizer_is_the_same_in_each_process():
    """WordPiece's own trainer goes by the order of a hash table: other ids and parts in each process."""
    code = """from mubench.modalities.tokens import pieces
print(pieces(["the actor was wonderful", "a dull, dull film; the plot was thin"] * 3, 60))"""
    command = [sys.executable, "-c", code]
    said = {subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(3)}
    assert len(said) == 1 and "'dull'" in said.pop()


def test_a_learned_tokenizer_reads_back_what_it_wrote():
    tokenizer = tokens.wordpiece(["The plot, they said, was thin.", "a dull film"], 200)
    ids = tokenizer("The dull plot, they said.")["input_ids"]
    assert tokenizer.decode(ids, skip_special_tokens=True) == "the dull plot, they said."
    assert [tokenizer.decode([ids[0]]), tokenizer.decode([ids[-1]])] == ["[CLS]", "[SEP]"]
    assert tokenizer.unk_token_id in tokenizer("Ω")["input_ids"]
