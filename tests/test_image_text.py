"""Two pictures and a sentence: NLVR2's layouts of files in small, what is said of broken ones, ViLT."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from mubench import catalog, encoding, models
from mubench.data import Batch
from mubench.errors import UsageError
from mubench.modalities.image_text import ImageText
from mubench.plan import Planner
from mubench.progress import Reporter
from mubench.tasks.nlvr2 import read
from mubench.tasks.pairs import statements
from mubench.typed import component

DIRS = catalog.config_dirs()
PROCESSOR = {"size": {"shortest_edge": 32}, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
SPLITS = {"train": 6, "dev": 4, "test1": 4, "test2": 4}
SETS = {"train": "train", "dev": "validation", "test1": "test", "test2": "ood"}


def settings(*overrides: str):
    return Planner(DIRS).cells(list(overrides), multirun=False)[0].settings


def task(name: str, **changes):
    return component({**settings(f"task={name}").task, **changes}, "task")


def modality(side: int = 16) -> ImageText:
    return ImageText("image_text", image_size=side, max_length=16)


def load(folder, out):
    source = task("nlvr2", source=str(folder))
    return encoding.load(source, modality(), {"vocabulary": 60}, out, Reporter(quiet=True))


def row_of(kind: str, number: int) -> dict:
    """A row as the data's authors write it."""
    row = {
        "sentence": f"There are {number} dogs in the left image.",
        "label": "True" if number % 2 else "False",
        "identifier": f"{kind}-{number}-0-1",
    }
    return {**row, "directory": 7} if kind == "train" else row


def picture_of(kind: str, number: int, side: int) -> str:
    folder = "images/train/7" if kind == "train" else f"images/{kind}"
    return f"{folder}/{kind}-{number}-0-img{side}.png"


def pixels(number: int, side: int) -> np.ndarray:
    """Photographs of different sizes."""
    shape = (20 + 5 * number, 30 - 4 * side, 3)
    return np.random.default_rng([number, side]).integers(0, 256, shape, dtype=np.uint8)


@pytest.fixture
def nlvr2(tmp_path):
    """The original layout: JSON lines in data/, pictures below images/, some of which are really JPEG."""
    folder = tmp_path / "nlvr2"
    (folder / "data").mkdir(parents=True)
    for kind, count in SPLITS.items():
        rows = [row_of(kind, number) for number in range(count)]
        (folder / "data" / f"{kind}.json").write_text("\n".join(map(json.dumps, rows)) + "\n")
        for number in range(count):
            for side in (0, 1):
                path = folder / picture_of(kind, number, side)
                path.parent.mkdir(parents=True, exist_ok=True)
                Pillow.fromarray(pixels(number, side)).save(path, format="JPEG" if number == 3 else "PNG")
    return folder


def as_mubench_has_it(folder) -> None:
    """Write the annotations as MU-Bench's authors do: a JSON list, pictures named, test and test2."""
    names = {"train": "train", "dev": "dev", "test1": "test", "test2": "test2"}
    for kind, count in SPLITS.items():
        rows = [
            {"images": [picture_of(kind, n, side) for side in (0, 1)],
             **{key: row_of(kind, n)[key] for key in ("sentence", "label")}}
            for n in range(count)
        ]  # fmt: skip
        (folder / "data" / f"{kind}.json").unlink()
        (folder / f"{names[kind]}.json").write_text(json.dumps(rows))


@pytest.mark.parametrize("layout", ["original", "MU-Bench", "pictures without images/"])
def test_nlvr2_loads_from_either_layout(tmp_path, nlvr2, layout):
    if layout == "MU-Bench":
        as_mubench_has_it(nlvr2)
    if layout == "pictures without images/":
        for folder in list((nlvr2 / "images").iterdir()):
            folder.rename(nlvr2 / folder.name)
    data = load(nlvr2, tmp_path)
    assert {name: len(part) for name, part in data.splits.items()} == {
        SETS[kind]: count for kind, count in SPLITS.items()}  # fmt: skip
    assert data.classes == ("False", "True")
    assert data["train"].targets.tolist() == [0, 1, 0, 1, 0, 1]
    stored = data["train"].inputs["pixel_values"]
    assert stored.shape == (6, 2, 3, 16, 16) and stored.dtype == torch.uint8
    for side in (0, 1):
        wanted = Pillow.fromarray(pixels(2, side)).resize((16, 16), Pillow.Resampling.BICUBIC)
        assert np.array_equal(stored[2, side], np.asarray(wanted).transpose(2, 0, 1))
    assert data["test"].inputs["input_ids"].shape == (4, 16)
    assert data.facts["image_size"] == 16 and len(data.facts["mean"]) == 3


def test_pictures_that_are_missing_or_corrupt_are_named(tmp_path, nlvr2):
    broken = nlvr2 / picture_of("dev", 2, 1)
    broken.write_bytes(broken.read_bytes()[:60])
    with pytest.raises(UsageError, match="nlvr2: row 2 of validation: the image cannot be decoded"):
        load(nlvr2, tmp_path)
    (nlvr2 / picture_of("test2", 1, 0)).unlink()
    with pytest.raises(UsageError, match=r"nlvr2: row 1 of ood: there is no picture .*test2-1-0-img0\.png"):
        load(nlvr2, tmp_path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"label": "Maybe"}, "row 3 of train has the label 'Maybe', not True or False"),
        ({"sentence": None}, "row 3 of train: the text is NoneType"),
        ({"sentence": "  "}, "row 3 of train: the text is empty"),
        ({"images": ["one.png"]}, "row 3 of train has 1 images, not two"),
        ({"identifier": "train"}, "row 3 of train lacks 'images' or 'identifier'"),
    ],
)
def test_broken_annotations_are_named(tmp_path, nlvr2, change, said):
    rows = [row_of("train", number) for number in range(6)]
    rows[3] |= change
    (nlvr2 / "data" / "train.json").write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(UsageError, match=said):
        load(nlvr2, tmp_path)


def test_a_file_that_is_no_json_is_named_with_its_line(tmp_path):
    (tmp_path / "dev.json").write_text('{"sentence": "a"}\n{"sentence"\n')
    with pytest.raises(UsageError, match=r"dev\.json is neither a JSON list nor JSON lines: line 2"):
        read(tmp_path / "dev.json")


def test_what_to_get_is_said_without_a_folder_and_without_annotations(tmp_path, nlvr2):
    with pytest.raises(UsageError, match=r"needs a folder with its pictures: .*lil\.nlp.*mini/nlvr2"):
        task("nlvr2").load()
    (nlvr2 / "data" / "dev.json").unlink()
    with pytest.raises(UsageError, match=r"cannot load the annotations 'jialicheng/nlvr2' .* put dev\.json"):
        load(nlvr2, tmp_path)


def test_the_folder_is_known_by_annotations_and_sizes(nlvr2):
    before = task("nlvr2", source=str(nlvr2)).identity()
    assert before == task("nlvr2", source=str(nlvr2)).identity()
    file = nlvr2 / "data" / "train.json"
    file.write_text(file.read_text().replace("dogs", "cats"))
    changed = task("nlvr2", source=str(nlvr2)).identity()
    assert changed != before
    (nlvr2 / picture_of("dev", 0, 0)).write_bytes(b"shorter")
    assert task("nlvr2", source=str(nlvr2)).identity() != changed


def test_a_flip_is_refused():
    with pytest.raises(UsageError, match=r"modality\.augment is one of none"):
        ImageText("image_text", augment="flip")


# The mini twin -------------------------------------------------------------------------------


def test_the_twins_sentences_are_as_often_true_and_noise_is_in_training_only():
    train, clean = (statements("train", 300, 100, noise, 3, 42) for noise in (0.1, 0.0))
    assert train == statements("train", 300, 100, 0.1, 3, 42)
    assert set(train[0]) == {"images", "sentence", "label"}
    wrong = np.mean([a["label"] != b["label"] for a, b in zip(train, clean, strict=True)])
    assert 0.05 < wrong < 0.15
    test = statements("test", 300, 100, 0.1, 3, 42)
    assert sum(row["label"] == "True" for row in test) == 50
    ood = statements("ood", 300, 100, 0.1, 3, 42)
    assert not {row["sentence"] for row in ood} & {row["sentence"] for row in [*train, *test]}
    kinds = {row["sentence"].split(" show")[0] for row in test}
    assert kinds == {"both pictures", "at least one picture"}


def twin(out, **sizes):
    node = settings("task=mini/nlvr2")
    changes = {"generate": {**node.task["generate"], **sizes}}
    kind = component(node.modality, "modality")
    source = task("mini/nlvr2", **changes)
    return kind, node.model, encoding.load(source, kind, node.model, out, Reporter(quiet=True))


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A few rows of the twin: modality, model node, data."""
    return twin(tmp_path_factory.mktemp("twin"), train=40, test=12)


def test_the_twin_goes_through_the_same_task_and_modality(small):
    kind, _, data = small
    assert {name: len(part) for name, part in data.splits.items()} == {
        "train": 40, "validation": 12, "test": 12, "ood": 12}  # fmt: skip
    assert data["train"].inputs["pixel_values"].shape == (40, 2, 3, 32, 32)
    assert type(kind) is ImageText and data.classes == ("False", "True")


def batch_of(small, count: int = 3) -> tuple[models.ModelSpec, Batch]:
    kind, node, data = small
    spec = models.describe(node, data, kind)
    taken = data["train"].take(torch.arange(count), torch.device("cpu"))
    return spec, kind.prepare(taken, spec.input, None)


def test_a_batch_is_normalised_and_cut_to_its_longest_text(small):
    spec, batch = batch_of(small)
    stored = small[2]["train"].inputs
    longest = int(stored["length"][:3].max())
    assert batch.inputs["input_ids"].shape == batch.inputs["attention_mask"].shape == (3, longest)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (spec.input.picture.mean, spec.input.picture.std))
    by_hand = (stored["pixel_values"][1, 0].float() / 255 - mean) / std
    assert torch.allclose(batch.inputs["pixel_values"][1, 0], by_hand, atol=1e-5)


# ViLT ----------------------------------------------------------------------------------------


def test_the_small_vilt_gives_logits_is_seeded_and_survives_round_trips(small, tmp_path):
    spec, batch = batch_of(small)
    model, other = spec.start(1).eval(), spec.start(2).eval()
    logits = small[0].logits(model, batch)
    assert logits.shape == (3, 2)
    assert torch.equal(small[0].logits(spec.start(1).eval(), batch), logits)
    assert torch.equal(small[0].logits(model, batch), logits)  # nothing is drawn in a forward
    assert not torch.equal(small[0].logits(other, batch), logits)
    models.save(model, tmp_path / "model.safetensors")
    loaded = models.load(other, tmp_path / "model.safetensors")
    assert torch.equal(small[0].logits(loaded, batch), logits)
    twice = copy.deepcopy(model)
    with torch.no_grad():
        model.vilt.embeddings.cls_token += 1
    assert torch.equal(small[0].logits(twice, batch), logits)


def test_whole_pictures_are_embedded_as_the_library_does(small):
    spec, batch = batch_of(small)
    model = spec.start(1).eval()
    torch.nn.init.normal_(model.vilt.embeddings.position_embeddings)
    ours = model(**batch.inputs).logits
    del model.vilt.embeddings.visual_embed  # the library's own method appears again
    assert torch.allclose(model(**batch.inputs).logits, ours, atol=1e-5)


def saved(small, folder, network: str, types: int) -> torch.nn.Module:
    """What the hub leaves of a checkpoint: weights, config, tokenizer, image processor."""
    import transformers

    from mubench.modalities import tokens

    spec, _ = batch_of(small)
    config = spec.start(1).config
    config.modality_type_vocab_size = types
    config.num_images = 2 if types == 3 else -1
    source = getattr(transformers, network)(config)
    source.save_pretrained(folder)
    tokens.wordpiece(["both pictures show something red"], 60).save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(PROCESSOR))
    return source


def hub_node(folder) -> dict:
    return {"build": {"_target_": "mubench.networks.vilt.pretrained"}, "checkpoint": str(folder)}


def test_a_language_model_lends_its_picture_type_to_the_second_picture(small, tmp_path):
    source = saved(small, tmp_path, "ViltForMaskedLM", 2)
    spec = models.describe(hub_node(tmp_path), small[2], small[0])
    assert spec.input.picture.std == (0.5,) * 3
    model = spec.start(1).eval()
    known = source.vilt.embeddings.token_type_embeddings.weight
    found = model.vilt.embeddings.token_type_embeddings.weight
    assert found.requires_grad and torch.equal(found, known[[0, 1, 1]])
    name = "encoder.layer.0.intermediate.dense.weight"
    assert torch.equal(dict(model.vilt.named_parameters())[name], dict(source.vilt.named_parameters())[name])
    assert model(**batch_of(small)[1].inputs).logits.shape == (3, 2)
    fresh = spec.fresh(1)
    models.save(model, tmp_path / "trained.safetensors")
    models.load(fresh, tmp_path / "trained.safetensors")


def test_a_model_of_nlvr2_is_taken_whole_as_the_published_original(small, tmp_path):
    (tmp_path / "start").mkdir()
    (tmp_path / "published").mkdir()
    saved(small, tmp_path / "start", "ViltForMaskedLM", 2)
    source = saved(small, tmp_path / "published", "ViltForImagesAndTextClassification", 3)
    spec = models.describe(hub_node(tmp_path / "start"), small[2], small[0])
    model = spec.published(str(tmp_path / "published")).eval()
    inputs = batch_of(small)[1].inputs
    assert torch.allclose(model(**inputs).logits, source.eval()(**inputs).logits, atol=1e-5)
    with pytest.raises(UsageError):
        spec.published(str(tmp_path / "start"))


def test_the_task_starts_from_a_model_that_has_not_seen_it():
    node = settings("task=nlvr2").model
    assert node["checkpoint"] == "dandelin/vilt-b32-mlm"
    seen = settings("task=nlvr2", "model=vilt-nlvr2").model
    assert seen["checkpoint"] == "dandelin/vilt-b32-finetuned-nlvr2"
