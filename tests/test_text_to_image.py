"""Text to image: a checkpoint in diffusers' layout in small, noise and losses by hand, sampling."""

from __future__ import annotations

import io
import json
import shutil
from dataclasses import replace

import datasets
import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from mubench import catalog, encoding, models
from mubench.data import Batch, Paired, Stream
from mubench.errors import UsageError
from mubench.modalities import denoising, lookers, prompts
from mubench.modalities.base import BrokenRow
from mubench.modalities.latents import autoencoder, latents
from mubench.modalities.text_to_image import TextToImage
from mubench.networks import diffusion
from mubench.plan import Planner
from mubench.progress import Reporter
from mubench.tasks.small_shapes import prompted_shapes
from mubench.tasks.wordnet import WORDS
from mubench.typed import component

DIRS = catalog.config_dirs()
COLOURS = ["a red disc", "a blue ring", "a green bar"]
CPU = torch.device("cpu")


def settings(*overrides: str):
    return Planner(DIRS).cells(["task=mini/tiny_imagenet", *overrides], multirun=False)[0].settings


@pytest.fixture(scope="module")
def twin(tmp_path_factory):
    """The twin's data, modality, network description and model, untrained."""
    chosen = settings("task.generate.train=40", "task.generate.valid=20", "modality.features.epochs=2")
    modality = component(chosen.modality, "modality")
    out = tmp_path_factory.mktemp("twin")
    task = component(chosen.task, "task")
    data = encoding.load(task, modality, chosen.model, out, Reporter(quiet=True))
    spec = models.describe(chosen.model, data, modality)
    return data, modality, spec, spec.start(1).eval()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A latent diffusion model as the hub leaves it: five subfolders, safetensors."""
    from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    from mubench.modalities.tokens import wordpiece

    folder = tmp_path_factory.mktemp("checkpoint")
    torch.manual_seed(0)
    UNet2DConditionModel(
        sample_size=8, in_channels=4, out_channels=4, block_out_channels=(8, 16), layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), norm_num_groups=4,
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"), cross_attention_dim=16, attention_head_dim=4,
    ).save_pretrained(folder / "unet")  # fmt: skip
    AutoencoderKL(
        block_out_channels=(8, 8), down_block_types=("DownEncoderBlock2D",) * 2, latent_channels=4,
        up_block_types=("UpDecoderBlock2D",) * 2, norm_num_groups=4, scaling_factor=0.5,
    ).save_pretrained(folder / "vae")  # fmt: skip
    tokenizer = wordpiece(COLOURS, 60)
    tokenizer.model_max_length = 12
    tokenizer.save_pretrained(folder / "tokenizer")
    text = CLIPTextConfig(
        vocab_size=60, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=12, bos_token_id=2, eos_token_id=3, pad_token_id=0,
    )  # fmt: skip
    CLIPTextModel(text).save_pretrained(folder / "text_encoder")
    DDPMScheduler(num_train_timesteps=50).save_pretrained(folder / "scheduler")
    return folder


def png(seed: int, side: int = 16, mode: str = "RGB") -> dict:
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Pillow.fromarray(pixels).convert(mode).save(stream, format="PNG")
    return {"bytes": stream.getvalue(), "path": None}


def rows(count: int = 3) -> dict:
    return {"prompt": COLOURS[:count], "image": [png(n) for n in range(count)]}


def small(**changes) -> TextToImage:
    return TextToImage("text_to_image", features=lookers.FeatureSettings(epochs=1), **changes)


def encoded(checkpoint, folder, **changes):
    """Three rows encoded for a checkpoint: modality, its description, the batch, the network."""
    modality, node = small(**changes), {"checkpoint": str(checkpoint)}
    modality.learn(rows(), node, folder)
    columns = modality.encode(rows(), folder)
    facts = {**modality.facts(columns, folder), "encoder": str(folder)}
    expected = modality.expects(node, facts)
    targets = columns.pop("targets")
    batch = Batch(columns, targets, torch.arange(len(targets)))
    network = diffusion.pretrained(str(checkpoint), str(checkpoint), **modality.shape(expected))
    return modality, expected, batch, network.eval()


# The checkpoint ------------------------------------------------------------------------------


def test_a_checkpoint_gives_latents_prompts_and_a_network_of_which_the_unet_trains(checkpoint, tmp_path):
    modality, expected, batch, network = encoded(checkpoint, tmp_path)
    assert batch.targets.shape == (3, 4, 8, 8) and batch.targets.dtype == torch.float32
    assert batch.inputs["picture"].shape == (3, 3, 16, 16)
    assert batch.inputs["input_ids"].shape == (3, 12) and expected.length == 12
    pixels = batch.inputs["picture"].float() / 127.5 - 1
    with torch.no_grad():
        mean = autoencoder(str(checkpoint), CPU).encode(pixels).latent_dist.mean
    assert torch.allclose(batch.targets, mean * 0.5, atol=1e-6)
    assert modality.logits(network, modality.prepare(batch, expected, None)).shape == (3, 4, 4, 8, 8)
    trains = {name.split(".")[0] for name, weight in network.named_parameters() if weight.requires_grad}
    assert trains == {"unet"}
    network.train()
    assert network.unet.training and not network.vae.training and not network.text_encoder.training
    assert network.pictures(batch.targets).shape == (3, 3, 16, 16)


def test_a_fresh_network_of_a_checkpoint_takes_saved_weights_and_stays_frozen(checkpoint, tmp_path):
    source = diffusion.pretrained(str(checkpoint), str(checkpoint))
    models.save(source, tmp_path / "model.safetensors")
    fresh = diffusion.pretrained(str(checkpoint), None)
    first = {name: value.clone() for name, value in fresh.state_dict().items()}
    models.load(fresh, tmp_path / "model.safetensors")
    for name, value in source.state_dict().items():
        assert torch.equal(fresh.state_dict()[name], value)
    drawn = [name for name, value in source.unet.state_dict().items() if value.std() > 1e-3]
    assert not any(torch.equal(first[f"unet.{name}"], source.unet.state_dict()[name]) for name in drawn)
    assert not any(weight.requires_grad for weight in fresh.text_encoder.parameters())


def test_a_checkpoint_without_an_autoencoder_works_on_pixels(checkpoint, tmp_path):
    shutil.copytree(checkpoint, tmp_path / "pixels", ignore=shutil.ignore_patterns("vae"))
    folder = tmp_path / "encoder"
    folder.mkdir()
    modality, node = small(), {"checkpoint": str(tmp_path / "pixels"), "image_size": 8}
    modality.learn(rows(), node, folder)
    columns = modality.encode(rows(), folder)
    assert columns["targets"].dtype == torch.uint8 and columns["targets"].shape == (3, 3, 8, 8)
    assert "picture" not in columns
    assert diffusion.pretrained(str(tmp_path / "pixels"), None).vae is None


@pytest.mark.parametrize("kind", ["v_prediction", "sample"])
def test_what_predicts_anything_but_noise_is_refused(kind):
    with pytest.raises(UsageError, match=f"the model predicts '{kind}'; .*epsilon"):
        diffusion.schedule({"prediction_type": kind})


def test_a_missing_checkpoint_and_odd_sizes_are_one_sentence(checkpoint):
    with pytest.raises(UsageError, match=r"cannot load model 'no/such' .* model\.checkpoint=PATH"):
        diffusion.pretrained("no/such", "no/such")
    with pytest.raises(UsageError, match=r"15x15 pixels do not divide by 2.*model\.image_size"):
        latents(torch.zeros(1, 3, 15, 15, dtype=torch.uint8), str(checkpoint))


# Noise and losses ----------------------------------------------------------------------------


def test_noise_at_evaluation_depends_on_the_row_alone(twin):
    data, modality, spec, _ = twin
    every = modality.prepare(data["train"].take(torch.arange(10), CPU), spec.input, None)
    some = modality.prepare(data["train"].take(torch.tensor([7, 2]), CPU), spec.input, None)
    assert torch.equal(some.inputs["noise"], every.inputs["noise"][[7, 2]])
    assert not torch.equal(every.inputs["noise"][0], every.inputs["noise"][1])
    until = modality.eval_until
    assert torch.allclose(every.inputs["times"][0], torch.tensor([0.125, 0.375, 0.625, 0.875]) * until)


def test_noise_in_training_is_drawn_from_the_generator(twin):
    data, modality, spec, _ = twin
    batch = data["train"].take(torch.arange(6), CPU)
    first, again = (modality.prepare(batch, spec.input, torch.Generator().manual_seed(3)) for _ in range(2))
    other = modality.prepare(batch, spec.input, torch.Generator().manual_seed(4))
    assert first.inputs["noise"].shape == (6, 1, 3, 8, 8) and first.inputs["times"].shape == (6, 1)
    assert torch.equal(first.inputs["noise"], again.inputs["noise"])
    assert not torch.equal(first.inputs["noise"], other.inputs["noise"])
    assert len(set(first.inputs["times"].flatten().tolist())) == 6
    assert modality.draws and not modality.remembers and torch.equal(first.targets, batch.targets)


class Echo(torch.nn.Module):
    """A denoiser that takes half of what it is given for noise."""

    alphas = torch.tensor([0.81, 0.36])

    def forward(self, noisy, steps, input_ids):
        return noisy / 2


def test_the_loss_by_hand():
    """x = 1 (255 in uint8), n = 0.5, a = .36: noisy .6 + .8 * .5 = 1; predicted .5; error 0."""
    modality = small()
    targets = torch.full((1, 1, 1, 1), 255, dtype=torch.uint8)
    noise = torch.tensor([0.5, -1.0]).view(1, 2, 1, 1, 1)
    inputs = {"times": torch.tensor([[0.7, 0.2]]), "noise": noise, "input_ids": torch.zeros(1, 1).long()}
    logits = modality.logits(Echo(), Batch(inputs, targets, torch.arange(1)))
    second = (0.9 - 0.19**0.5) / 2 + 1  # a = .81, n = -1
    assert torch.allclose(logits.flatten(), torch.tensor([0.0, second]), atol=1e-6)
    assert torch.allclose(modality.losses(logits, targets), torch.tensor([second**2 / 2]))
    assert torch.equal(modality.errors(logits, targets), modality.losses(logits, targets))
    assert torch.allclose(modality.divergence(logits + 3, logits, targets), torch.tensor([9.0]))


def test_replaced_targets_change_the_loss_after_preparing(twin):
    data, modality, spec, model = twin
    prepared = modality.prepare(data["train"].take(torch.arange(4), CPU), spec.input, None)
    donors = data["train"].targets[10:14]
    wrong = modality.relabel(prepared.targets, donors, 100, torch.Generator())
    assert torch.equal(wrong, donors)
    mask = torch.tensor([True, False, True, False])
    changed = replace(prepared, targets=modality.merge(prepared.targets, wrong, mask))
    before, after = (modality.losses(modality.logits(model, b), b.targets) for b in (prepared, changed))
    assert ((before != after) == mask).all()


def test_a_picture_is_never_relabelled_as_itself():
    targets = torch.arange(3).view(3, 1, 1, 1).float()
    wrong = small().relabel(targets, torch.tensor([5.0, 1.0, 7.0]).view(3, 1, 1, 1), 0, torch.Generator())
    assert wrong.flatten().tolist() == [5, 5, 7]


def test_a_paired_batch_keeps_each_rows_noise(twin):
    data, modality, spec, model = twin
    forget, retain = (data["train"].take(torch.tensor(at), CPU) for at in ([1, 2], [3, 4]))
    paired = Paired(forget, retain)
    joined = modality.prepare(paired.joined(), spec.input, torch.Generator().manual_seed(1))
    parted = paired.parted(joined)
    whole = modality.logits(model, joined)
    assert torch.allclose(whole[:2], modality.logits(model, parted.forget), atol=1e-5)


def test_gradients_reach_the_prompt_and_the_denoiser(twin):
    data, modality, spec, _ = twin
    model = spec.start(2)
    batch = modality.prepare(data["train"].take(torch.arange(4), CPU), spec.input, None)
    modality.losses(modality.logits(model, batch), batch.targets).mean().backward()
    assert model.text_encoder.embeddings.token_embedding.weight.grad.abs().sum() > 0
    assert all(weight.grad is not None for weight in model.unet.parameters())


# Sampling ------------------------------------------------------------------------------------


class Exact(torch.nn.Module):
    """A denoiser that knows the picture: constant .5 under a prompt of ones, -.5 under zeros."""

    alphas = torch.linspace(0.99, 0.01, 50)

    def forward(self, noisy, steps, input_ids):
        share = self.alphas[steps].view(-1, 1, 1, 1)
        picture = (input_ids[:, 0].float() - 0.5).view(-1, 1, 1, 1)
        return (noisy - share.sqrt() * picture) / (1 - share).sqrt()


@pytest.mark.parametrize(("guidance", "value"), [(1.0, 0.5), (0.0, -0.5)])
def test_sampling_arrives_at_the_picture_the_denoiser_knows(guidance, value):
    noise = torch.randn(2, 1, 3, 3, generator=torch.Generator().manual_seed(0))
    ids, empty = torch.ones(2, 4).long(), torch.zeros(4).long()
    found = denoising.ddim(Exact(), noise, ids, empty, 7, guidance, False)
    assert torch.allclose(found, torch.full_like(found, value), atol=1e-4)


def test_painting_is_deterministic_and_gives_what_the_metrics_read(twin):
    data, modality, spec, model = twin
    batch = modality.prepare(data["test"].take(torch.arange(5), CPU), spec.input, None)
    with torch.no_grad():
        first, again = (
            modality.generate(model, batch, spec.input, torch.Generator().manual_seed(9)) for _ in range(2)
        )
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert first["features"].shape == first["true_features"].shape == (5, 64)
    classes = len(json.loads((spec.input.encoder / "prompts.json").read_text()))
    assert first["class_probs"].shape == (5, classes)
    assert torch.allclose(first["class_probs"].sum(1), torch.ones(5))
    known = batch.inputs["prompt"] >= 0
    own = first["class_probs"][torch.arange(5), batch.inputs["prompt"].clamp_min(0)]
    assert torch.equal(first["similarity"], torch.where(known, own, 0.0))


def test_a_checkpoint_paints_in_latents_and_compares_with_the_true_pixels(checkpoint, tmp_path):
    modality, expected, batch, network = encoded(checkpoint, tmp_path, sample_steps=2, guidance=2.0)
    with torch.no_grad():
        found = modality.generate(network, batch, expected, torch.Generator().manual_seed(0))
        looker = lookers.small(tmp_path, 3, CPU)
        true = looker.features(batch.inputs["picture"].float() / 255)
    assert torch.equal(found["true_features"], true) and found["features"].shape == (3, 64)


# What looks at pictures ----------------------------------------------------------------------


def test_the_small_looker_learns_its_pictures_and_is_the_same_each_time(tmp_path):
    made = prompted_shapes("train", 100, 10, 0.0, 1)
    pictures = torch.from_numpy(
        np.stack([np.asarray(i) for i in made.cast_column("image", datasets.Image())["image"]])
    )
    pictures, numbers = pictures.permute(0, 3, 1, 2), torch.tensor(made["label"]) % 10
    chosen = lookers.FeatureSettings(epochs=40)
    for name in "ab":
        (tmp_path / name).mkdir()
        lookers.learn(pictures, numbers, 10, chosen, tmp_path / name)
    assert (tmp_path / "a" / lookers.FILE).read_bytes() == (tmp_path / "b" / lookers.FILE).read_bytes()
    seen = lookers.small(tmp_path / "a", 10, CPU).look(pictures.float() / 255, [""] * 100, numbers)
    assert (seen.class_probs.argmax(1) == numbers).float().mean() > 0.6


def test_a_clip_gives_embeddings_zero_shot_classes_and_cosines(tmp_path):
    from transformers import CLIPConfig, CLIPModel

    from mubench.modalities.tokens import wordpiece

    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = {**sizes, "vocab_size": 60, "max_position_embeddings": 16, "eos_token_id": 3}
    vision = {**sizes, "image_size": 16, "patch_size": 8}
    torch.manual_seed(0)
    CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=8)).save_pretrained(tmp_path)
    wordpiece(COLOURS, 60).save_pretrained(tmp_path)
    processor = {"size": {"height": 16, "width": 16}, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(processor))
    clip = lookers.clip(str(tmp_path), tuple(COLOURS), CPU)
    pictures = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        seen = clip.look(pictures, COLOURS, torch.arange(3))
        cosines = torch.nn.functional.normalize(seen.features, dim=-1) @ clip.classes.T
    assert seen.features.shape == (3, 8) and seen.class_probs.shape == (3, 3)
    assert torch.allclose(seen.similarity, cosines.diagonal(), atol=1e-6)
    scale = clip.model.logit_scale.exp()
    assert torch.allclose(seen.class_probs, (scale * cosines).softmax(-1), atol=1e-6)


def test_wrong_feature_settings_are_refused():
    with pytest.raises(UsageError, match=r"features\.name is one of small, clip; not 'clap'"):
        lookers.FeatureSettings("clap")
    with pytest.raises(UsageError, match=r"features\.checkpoint names the CLIP"):
        lookers.FeatureSettings("clip")


def test_the_package_is_asked_for_before_any_work(monkeypatch):
    monkeypatch.setattr("mubench.extras.find_spec", lambda name: None)
    with pytest.raises(
        UsageError, match=r"text_to_image needs the package diffusers: .*mubench\[diffusion\]"
    ):
        small()


# The task ------------------------------------------------------------------------------------


def hub_table(count: int, classes: int = 200) -> datasets.Dataset:
    """Rows as zh-plus/tiny-imagenet has them, every fifth picture grey."""
    features = datasets.Features(
        image=datasets.Image(), label=datasets.ClassLabel(names=sorted(WORDS)[:classes])
    )
    images = [png(row, 16, "L" if row % 5 == 0 else "RGB") for row in range(count)]
    return datasets.Dataset.from_dict(
        {"image": images, "label": [row % classes for row in range(count)]}, features=features
    )


def load_task(folder, **changes):
    chosen = settings("task=tiny_imagenet")
    return component({**chosen.task, "source": str(folder), **changes}, "task")


def test_the_real_layout_gives_prompts_of_words_and_a_balanced_part(tmp_path):
    (tmp_path / "data").mkdir()
    hub_table(60, 10).to_parquet(tmp_path / "data/train-00000-of-00001.parquet")
    hub_table(20, 10).to_parquet(tmp_path / "data/valid-00000-of-00001.parquet")
    task = load_task(tmp_path, rows=30)
    raw = task.load()
    train = raw.splits["train"]
    assert np.bincount(train.labels).tolist() == [3] * 10 and len(raw.splits["test"].labels) == 20
    assert raw.classes[:2] == ("goldfish", "European fire salamander")
    assert train.fields["prompt"][0] == f"a photo of a {raw.classes[train.labels[0]]}"
    again = load_task(tmp_path, rows=30).load().splits["train"]
    assert again.fields["prompt"] == train.fields["prompt"]
    data = encoding.load(task, small(), {"prompt_length": 8}, tmp_path / "out", Reporter(quiet=True))
    assert data["test"].targets.shape == (20, 3, 16, 16)
    assert data["train"].labels.max() == 9 and data["test"].inputs["prompt"].min() >= 0


def test_words_cover_the_200_classes():
    assert len(WORDS) == 200 and len(set(WORDS.values())) == 200
    assert all(number[0] == "n" and len(number) == 9 and WORDS[number].strip() for number in WORDS)


def test_a_class_without_a_word_and_a_template_without_a_place_are_refused(tmp_path):
    features = datasets.Features(image=datasets.Image(), label=datasets.ClassLabel(names=["n00000000"]))
    table = datasets.Dataset.from_dict({"image": [png(0)], "label": [0]}, features=features)
    datasets.DatasetDict(train=table, valid=table).save_to_disk(tmp_path / "copy")
    with pytest.raises(UsageError, match="has no word for the class 'n00000000'"):
        load_task(tmp_path / "copy").load()
    with pytest.raises(UsageError, match=r"task\.template must hold \{\}"):
        load_task(tmp_path / "copy", template="a photo")


def test_a_corrupt_picture_is_named_by_its_row(tmp_path):
    rows = hub_table(20, 10).cast_column("image", datasets.Image(decode=False))
    broken = rows.map(lambda row, at: {"image": {"bytes": b"no png", "path": None}} if at == 7 else row,
                      with_indices=True)  # fmt: skip
    datasets.DatasetDict(train=broken, valid=rows).save_to_disk(tmp_path / "copy")
    with pytest.raises(UsageError, match="row 7 of train: the image cannot be decoded"):
        encoding.load(load_task(tmp_path / "copy"), small(), {}, tmp_path / "out", Reporter(quiet=True))


@pytest.mark.parametrize("prompt", ["", "  ", None])
def test_an_empty_prompt_is_named_by_its_row(prompt):
    with pytest.raises(BrokenRow) as error:
        prompts.checked(["a red disc", prompt])
    assert error.value.place == 1


def test_the_twin_is_the_same_each_time_and_wrong_in_training_only():
    first, again = (prompted_shapes("train", 60, 20, 0.2, 5) for _ in range(2))
    assert first["label"] == again["label"] and first["image"] == again["image"]
    clean = prompted_shapes("train", 60, 20, 0.0, 5)
    assert 3 <= sum(a != b for a, b in zip(first["label"], clean["label"], strict=True)) <= 24
    noisy, plain = (prompted_shapes("valid", 60, 20, share, 5) for share in (0.9, 0.0))
    assert noisy["label"] == plain["label"]


def test_the_columns_of_the_twin(twin):
    data, modality, _, model = twin
    train = data["train"]
    assert train.targets.dtype == torch.uint8 and train.targets.shape == (38, 3, 8, 8)
    assert data.facts["notes"]["features"]["name"] == "small" and len(data.classes) == 25
    stream = Stream(train, torch.arange(38), 16, CPU)
    seen = [modality.predictions(torch.empty(0), batch)["targets"] for batch in stream.batches(None)]
    assert torch.equal(torch.cat(seen), train.inputs["prompt"])
    assert sum(weight.numel() for weight in model.parameters()) < 300_000
