"""Networks of transformers: every backbone's class in small, from a folder as the hub leaves it."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from mubench import catalog, models
from mubench.checking import models_for
from mubench.data import Columns, Dataset
from mubench.errors import UsageError
from mubench.modalities.image import Image
from mubench.plan import Planner

DIRS = catalog.config_dirs()
IMAGE = models_for("image", DIRS)
MINI = [name for name in IMAGE if name.startswith("mini/")]
SMALL = ["resnet-small", "vit-small"]
HUB = [name for name in IMAGE if name not in (*MINI, *SMALL)]
PROCESSOR = {"size": {"height": 32, "width": 32}, "image_mean": [0.5] * 3, "image_std": [0.25] * 3}


def node(name: str) -> dict:
    run = Planner(DIRS).cells([f"model={name}", "task=cifar10"], multirun=False)
    return run[0].settings.model


def data(classes: int = 10, channels: int = 3, side: int = 32) -> Dataset:
    pixels = torch.zeros(4, channels, side, side, dtype=torch.uint8)
    train = Columns({"pixel_values": pixels}, torch.arange(4), np.arange(4))
    facts = {"image_size": side, "mean": [0.5] * channels, "std": [0.3] * channels}
    return Dataset({"train": train}, tuple(map(str, range(classes))), np.arange(4), None, facts)


def describe(settings: dict, dataset: Dataset | None = None) -> models.ModelSpec:
    return models.describe(settings, dataset or data(), Image("image"))


def bits(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


@pytest.mark.parametrize("name", [*MINI, *SMALL])
def test_small_models_give_logits_are_seeded_and_survive_a_round_trip(name, tmp_path):
    spec = describe(node(name))
    model = spec.start(1).eval()
    pixels = torch.randn(2, 3, spec.input.image_size, spec.input.image_size)
    batch = type("B", (), {"inputs": {"pixel_values": pixels}})
    logits = Image("image").logits(model, batch)
    assert logits.shape == (2, 10)
    again, other = spec.start(1), spec.start(2)
    same = [torch.equal(a, b) for a, b in zip(bits(model).values(), bits(again).values(), strict=True)]
    assert all(same)
    weights = zip(model.parameters(), other.parameters(), strict=True)
    assert any(not torch.equal(a, b) for a, b in weights)
    models.save(model, tmp_path / "model.safetensors")
    loaded = models.load(other, tmp_path / "model.safetensors").eval()
    assert torch.equal(Image("image").logits(loaded, batch), logits)


@pytest.mark.parametrize("name", MINI)
def test_a_checkpoint_folder_is_loaded_with_a_head_of_the_tasks_size(name, tmp_path):
    """What the hub leaves: config.json, model.safetensors, preprocessor_config.json; 7 classes before."""
    settings = node(name)
    source = describe(settings, data(classes=7)).start(3)
    source.save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(PROCESSOR))
    pretrained = {
        "build": {
            "_target_": "mubench.networks.pretrained.pretrained",
            "auto": "AutoModelForImageClassification",
        },
        "checkpoint": str(tmp_path),
    }
    spec = describe(pretrained)
    assert spec.input.image_size == 32 and spec.input.std == (0.25,) * 3
    start, fresh = bits(spec.start(1)), bits(spec.fresh(1))
    saved = bits(source)
    kept = [name for name in saved if "classifier" not in name]
    assert all(torch.equal(start[name], saved[name]) for name in kept)
    head = [name for name in start if "classifier" in name and name.endswith("weight")]
    assert all(start[name].shape[0] == 10 for name in head[-1:])
    drawn = [n for n in kept if saved[n].is_floating_point() and saved[n].std() > 0]
    assert drawn and not any(torch.equal(fresh[name], saved[name]) for name in drawn)


def test_a_vit_takes_another_resolution_without_losing_its_position_embeddings(tmp_path):
    source = describe(node("mini/vit")).start(3)
    source.save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(PROCESSOR))
    settings = {
        "build": {
            "_target_": "mubench.networks.pretrained.pretrained",
            "auto": "AutoModelForImageClassification",
        },
        "checkpoint": str(tmp_path),
    }
    spec = describe({**settings, "image_size": 48})
    model = spec.start(1).eval()
    found = dict(model.named_parameters())
    (name,) = [n for n in found if "position_embeddings" in n]
    assert torch.equal(found[name], dict(source.named_parameters())[name])
    assert model(pixel_values=torch.randn(1, 3, 48, 48)).logits.shape == (1, 10)


def test_an_unreachable_checkpoint_is_one_sentence():
    with pytest.raises(UsageError, match=r"cannot load model 'no/such' .* model\.checkpoint=PATH"):
        describe(
            {
                "build": {
                    "_target_": "mubench.networks.pretrained.pretrained",
                    "auto": "AutoModelForImageClassification",
                },
                "checkpoint": "no/such",
            }
        )


@pytest.mark.parametrize("name", HUB)
def test_every_backbone_names_a_hub_id_and_a_recipe(name):
    settings = node(name)
    assert settings["name"] == name and settings["modality"] == "image"
    assert settings["checkpoint"].count("/") == 1
    assert settings["build"] == {
        "_target_": "mubench.networks.pretrained.pretrained",
        "auto": "AutoModelForImageClassification",
    }


def test_all_eleven_backbones_of_the_image_task_are_there():
    assert len(HUB) == 11
