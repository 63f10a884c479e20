"""An original model that others trained: taken as it is, while the reference is still trained here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from command_line import mubench, record_of

from mubench.networks.pretrained import from_config

TINY = {"embedding_size": 8, "hidden_sizes": [8, 8], "depths": [1, 1], "layer_type": "basic"}
PROCESSOR = {"image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": 16},
             "image_mean": [0.5] * 3, "image_std": [0.25] * 3}  # fmt: skip


def folder(place: Path, classes: int, seed: int) -> Path:
    """A ResNet as the hub leaves it."""
    torch.manual_seed(seed)
    model = from_config("AutoModelForImageClassification", classes, "resnet", TINY, channels=3)
    model.save_pretrained(place)
    (place / "preprocessor_config.json").write_text(json.dumps(PROCESSOR))
    return place


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory) -> dict[str, Path]:
    """A pretrained network of seven classes, and one that was trained for the ten digits."""
    made = tmp_path_factory.mktemp("hub")
    return {"base": folder(made / "base", 7, 1), "digits": folder(made / "digits", 10, 2)}


def run(checkpoints, out: Path, original: Path | str, *more: str):
    return mubench(
        "run", "task=digits", "model=resnet-18", f"model.checkpoint={checkpoints['base']}", f"out={out}",
        f"original={original}", "method=original", "training.epochs=1", "trainer.device=cpu", *more,
    )  # fmt: skip


def test_a_published_original_is_taken_and_the_reference_is_trained_from_the_base(checkpoints, tmp_path):
    done = run(checkpoints, tmp_path, checkpoints["digits"])
    assert done.status == 0, done.err
    assert "Taking the original model from" in done.err and "Training the retrained model" in done.err
    from safetensors.torch import load_file

    (kept,) = tmp_path.glob("models/**/original/*/model.safetensors")
    ours, theirs = load_file(kept), load_file(checkpoints["digits"] / "model.safetensors")
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
    (record,) = (record_of(path.parent) for path in tmp_path.glob("runs/**/record.json"))
    assert record["cost"]["original_seconds"] == 0 and record["cost"]["retrain_seconds"] > 0
    assert record["metrics"]["original"]["test_loss"] != record["metrics"]["retrained"]["test_loss"]


def test_what_is_no_trained_model_of_the_task_is_refused(checkpoints, tmp_path):
    done = run(checkpoints, tmp_path, checkpoints["base"], "evaluation.reference=none")
    assert done.status == 2 and "is no trained model of this task" in done.err
    assert "Traceback" not in done.err


def test_a_model_built_here_takes_no_published_original(checkpoints, tmp_path):
    done = mubench("run", f"original={checkpoints['digits']}", f"out={tmp_path}")
    assert done.status == 2 and "published weights do not fit" in done.err.splitlines()[-1]
