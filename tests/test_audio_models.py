"""Networks of speech: every backbone's class in small, from a folder as the hub leaves it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import (
    ASTFeatureExtractor,
    Wav2Vec2FeatureExtractor,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
)

from mubench import catalog, models
from mubench.checking import models_for
from mubench.data import Batch, Columns, Dataset
from mubench.errors import UsageError
from mubench.modalities.audio import Audio
from mubench.plan import Planner

DIRS = catalog.config_dirs()
AUDIO = models_for("audio", DIRS)
MINI = [name for name in AUDIO if name.startswith("mini/")]
HUB = [name for name in AUDIO if name not in MINI]
RATE, SAMPLES = 16000, 8000
EXTRACTORS = {  # what lies beside the weights of a checkpoint of each family, in small
    "mini/whisper": WhisperFeatureExtractor(feature_size=32, n_fft=256, hop_length=160, chunk_length=1),
    "mini/wav2vec2": Wav2Vec2FeatureExtractor(return_attention_mask=False),
    "mini/hubert": Wav2Vec2FeatureExtractor(return_attention_mask=True),
}


def node(name: str) -> dict:
    return Planner(DIRS).cells([f"model={name}", "task=speech_commands"], multirun=False)[0].settings.model


def columns(count: int = 4) -> dict[str, torch.Tensor]:
    waves = torch.randint(-9000, 9000, (count, SAMPLES), generator=torch.Generator().manual_seed(0))
    return {
        "waveform": waves.to(torch.int16),
        "length": torch.full((count,), SAMPLES, dtype=torch.int32),
    }


def data(classes: int = 12) -> Dataset:
    train = Columns(columns(), torch.arange(4), np.arange(4))
    return Dataset(
        {"train": train}, tuple(map(str, range(classes))), np.arange(4), None, {"samples": SAMPLES}
    )


def describe(settings: dict, classes: int = 12) -> models.ModelSpec:
    return models.describe(settings, data(classes), Audio("audio", seconds=SAMPLES / RATE))


def logits(spec: models.ModelSpec, model: torch.nn.Module) -> torch.Tensor:
    batch = Batch(columns(), torch.zeros(4, dtype=torch.int64), torch.arange(4))
    modality = Audio("audio", seconds=SAMPLES / RATE)
    return modality.logits(model, modality.prepare(batch, spec.input, None))


def pretrained(folder: object, **settings) -> dict:
    build = {
        "_target_": "mubench.networks.pretrained.pretrained",
        "auto": "AutoModelForAudioClassification",
        **settings,
    }
    return {"build": build, "checkpoint": str(folder)}


@pytest.mark.parametrize("name", MINI)
def test_small_models_give_logits_are_seeded_and_survive_a_round_trip(name, tmp_path):
    spec = describe(node(name))
    model = spec.start(1).eval()
    scores = logits(spec, model)
    assert scores.shape == (4, 12)
    again, other = spec.start(1), spec.start(2)
    pairs = list(zip(model.state_dict().values(), again.state_dict().values(), strict=True))
    assert all(torch.equal(a, b) for a, b in pairs)
    assert not torch.equal(logits(spec, other.eval()), scores)
    models.save(model, tmp_path / "model.safetensors")
    assert torch.equal(logits(spec, models.load(other, tmp_path / "model.safetensors").eval()), scores)


@pytest.mark.parametrize("name", MINI)
def test_training_draws_nothing_that_a_seed_does_not_reach(name):
    """Masks and skipped layers of transformers come from NumPy's global generator."""
    spec = describe(node(name))
    model, scores = spec.start(1).train(), []
    for seed in (0, 1):
        np.random.seed(seed)
        scores.append(logits(spec, model))
    assert torch.equal(*scores)


@pytest.mark.filterwarnings("ignore:At least one mel filter")
@pytest.mark.parametrize("name", MINI)
def test_a_checkpoint_folder_is_heard_and_loaded_with_a_head_of_the_tasks_size(name, tmp_path):
    """What the hub leaves: config.json, model.safetensors, preprocessor_config.json; 7 classes before."""
    spec = describe(node(name), classes=7)
    source = spec.start(3)
    source.save_pretrained(tmp_path)
    extractors = {**EXTRACTORS, "mini/ast": ASTFeatureExtractor(num_mel_bins=32, max_length=48)}
    extractors[name].save_pretrained(tmp_path)
    found = describe(pretrained(tmp_path))
    assert found.input == spec.input
    start, fresh, saved = (dict(m.state_dict()) for m in (found.start(1), found.fresh(1), source))
    kept = [n for n in saved if not {"classifier", "projector"} & set(n.split("."))]
    assert all(torch.equal(start[n], saved[n]) for n in kept)
    drawn = [n for n in kept if n.endswith("weight") and saved[n].dim() > 1 and "embed_positions" not in n]
    assert drawn and not any(torch.equal(fresh[n], saved[n]) for n in drawn)
    assert logits(found, found.start(1).eval()).shape == (4, 12)


def test_whispers_encoder_is_taken_from_a_model_that_writes(tmp_path):
    """The checkpoints on the hub are whole speech recognisers, their weights below `model.encoder`."""
    config = WhisperConfig(
        d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2, decoder_attention_heads=2,
        encoder_ffn_dim=16, decoder_ffn_dim=16, vocab_size=50, max_source_positions=30, num_mel_bins=20,
        pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1,
    )  # fmt: skip
    torch.manual_seed(0)
    writer = WhisperForConditionalGeneration(config)
    writer.save_pretrained(tmp_path)
    WhisperFeatureExtractor(feature_size=20, chunk_length=30).save_pretrained(tmp_path)
    spec = describe(pretrained(tmp_path))
    assert spec.input.frames == 60 and spec.input.mels == 20
    started = spec.start(1).eval()
    expected = writer.model.encoder.state_dict()
    assert all(torch.equal(values, expected[name]) for name, values in started.encoder.state_dict().items())
    assert logits(spec, started).shape == (4, 12)


@pytest.mark.parametrize("name", ["mini/wav2vec2", "mini/hubert"])
def test_masking_that_a_checkpoint_asks_for_is_turned_off_by_settings(name, tmp_path):
    settings = node(name)
    asked = {**settings["build"]["dimensions"], "mask_time_prob": 0.5, "mask_time_length": 2}
    source = describe({**settings, "build": {**settings["build"], "dimensions": asked}}).start(3)
    source.save_pretrained(tmp_path)
    EXTRACTORS[name].save_pretrained(tmp_path)
    spec = describe(pretrained(tmp_path, settings={"apply_spec_augment": False}))
    model, scores = spec.start(1).train(), []
    for seed in (0, 1):
        np.random.seed(seed)
        scores.append(logits(spec, model))
    assert torch.equal(*scores)


def test_a_checkpoint_of_another_rate_is_refused(tmp_path):
    describe(node("mini/wav2vec2")).start(3).save_pretrained(tmp_path)
    Wav2Vec2FeatureExtractor(sampling_rate=8000).save_pretrained(tmp_path)
    with pytest.raises(UsageError, match=r"hears 8000 samples a second: pass modality\.sample_rate=8000"):
        describe(pretrained(tmp_path))


def test_an_unreachable_checkpoint_is_one_sentence():
    with pytest.raises(UsageError, match=r"cannot load model 'no/such' .* model\.checkpoint=PATH"):
        describe(pretrained("no/such"))


@pytest.mark.parametrize("name", HUB)
def test_every_backbone_names_a_hub_id_and_a_class(name):
    settings = node(name)
    assert settings["name"] == name and settings["checkpoint"].count("/") == 1
    assert settings["build"]["auto"] == "AutoModelForAudioClassification"
    masked = settings["build"].get("settings", {}).get("apply_spec_augment", True)
    assert masked is ("whisper" in name)


def test_the_eight_backbones_of_the_speech_task_are_there():
    assert len(HUB) == 8 and len(MINI) == 4
