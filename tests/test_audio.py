"""Sound as columns and as what models hear: real files, odd ones, and transformers' own extractors."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from mubench.data import Batch
from mubench.errors import UsageError
from mubench.modalities import hearing
from mubench.modalities.audio import Audio
from mubench.modalities.base import BrokenRow

NOWHERE = Path()


def tone(rate: int, seconds: float, hertz: float = 440.0) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate)


def file(wave: np.ndarray, rate: int, kind: str = "WAV", subtype: str | None = None) -> dict:
    stream = io.BytesIO()
    soundfile.write(stream, wave, rate, format=kind, subtype=subtype)
    return {"bytes": stream.getvalue(), "path": None}


def encode(*sounds: dict, **settings) -> dict[str, torch.Tensor]:
    return Audio("audio", **settings).encode({"audio": list(sounds)}, NOWHERE)


def batch(columns: dict[str, torch.Tensor]) -> Batch:
    count = len(columns["length"])
    return Batch(columns, torch.zeros(count, dtype=torch.int64), torch.arange(count))


@pytest.mark.parametrize("kind", ["WAV", "FLAC"])
def test_files_of_16_bits_are_kept_to_the_bit_and_padded(kind, tmp_path):
    samples = np.random.default_rng(0).integers(-32768, 32768, 12_000).astype(np.int16)
    path = tmp_path / f"sound.{kind.lower()}"
    soundfile.write(path, samples, 16000, format=kind, subtype="PCM_16")
    for sound in ({"bytes": path.read_bytes(), "path": None}, {"bytes": None, "path": str(path)}):
        columns = encode(sound)
        assert columns["waveform"].dtype == torch.int16 and columns["waveform"].shape == (1, 16000)
        assert np.array_equal(columns["waveform"][0, :12_000], samples)
        assert not columns["waveform"][0, 12_000:].any() and columns["length"].tolist() == [12_000]


def test_long_sounds_are_cut_and_channels_averaged():
    left, right = tone(16000, 3), tone(16000, 3, 1000)
    columns = encode(file(np.stack([left, right], 1), 16000, "FLAC"))
    assert columns["length"].tolist() == [16000]
    mean = ((left + right) / 2)[:16000] * 32768
    assert np.abs(columns["waveform"][0].numpy() - mean).max() <= 1.5


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000])
def test_another_rate_is_resampled(rate):
    columns = encode(file(tone(rate, 0.5), rate, subtype="FLOAT"))
    assert columns["length"].item() == 8000
    heard = columns["waveform"][0, 100:7900].float().numpy() / 32768
    assert np.abs(heard - tone(16000, 0.5)[100:7900]).max() < 5e-3


def test_arrays_come_with_their_rate():
    columns = encode({"array": tone(8000, 0.25), "sampling_rate": 8000}, sample_rate=8000, seconds=0.5)
    assert columns["waveform"].shape == (1, 4000) and columns["length"].tolist() == [2000]
    assert columns["waveform"][0, 7] == round(tone(8000, 0.25)[7] * 32768)


def cut_short() -> dict:
    whole = file(np.random.default_rng(0).uniform(-1, 1, 16000), 16000, "FLAC")["bytes"]
    return {"bytes": whole[: len(whole) // 2], "path": None}


@pytest.mark.parametrize(
    ("sound", "wrong"),
    [
        ({"bytes": b"RIFF and no more", "path": None}, "cannot be decoded"),
        ({"bytes": None, "path": "no/such/file.wav"}, "cannot be decoded"),
        ({"bytes": None, "path": None}, "cannot be decoded"),
        (None, "cannot be decoded"),
        (cut_short(), "cannot be decoded"),
        (file(np.zeros(0), 16000), "is empty"),
        (file(np.array([0.0, np.nan]), 16000, subtype="FLOAT"), "not finite"),
    ],
)
def test_a_sound_that_cannot_be_read_is_named_by_its_place(sound, wrong):
    with pytest.raises(BrokenRow, match=wrong) as caught:
        encode(file(tone(16000, 0.1), 16000), sound)
    assert caught.value.place == 1


def clips() -> tuple[torch.Tensor, torch.Tensor, list[np.ndarray]]:
    """Waves (4, 16000) with their lengths, and the same clips unpadded; the last is silent."""
    rng, lengths = np.random.default_rng(0), [16000, 12_345, 5000, 16000]
    short = [
        (tone(16000, n / 16000, 300 + n / 20) + 0.05 * rng.standard_normal(n)).astype(np.float32)
        for n in lengths
    ]
    short[3][:] = 0
    waves = torch.zeros(4, 16000)
    for row, wave in enumerate(short):
        waves[row, : len(wave)] = torch.from_numpy(wave)
    return waves, torch.tensor(lengths), short


@pytest.mark.parametrize(("seconds", "mels"), [(30, 80), (1, 80), (1, 128)])
def test_whispers_mels_are_those_of_its_extractor(seconds, mels):
    from transformers import WhisperFeatureExtractor

    waves, lengths, short = clips()
    theirs = WhisperFeatureExtractor(feature_size=mels, chunk_length=seconds)
    expected = theirs(short, sampling_rate=16000, return_tensors="pt")["input_features"]
    ours = hearing.Whisper(16000, 100 * seconds, mels)(waves, lengths)["input_features"]
    assert ours.shape == (4, mels, 100 * seconds)
    assert (ours - expected).abs().max() < 1e-4


def test_a_whisper_window_shorter_than_the_clip_cuts_it():
    from transformers import WhisperFeatureExtractor

    waves, lengths, _ = clips()
    longer = torch.cat([waves, waves.flip(0)], 1)
    theirs = WhisperFeatureExtractor(chunk_length=1)
    expected = theirs(list(longer.numpy()), sampling_rate=16000, return_tensors="pt")["input_features"]
    ours = hearing.Whisper(16000, 100)(longer, lengths)["input_features"]
    assert (ours - expected).abs().max() < 1e-4


@pytest.mark.filterwarnings("ignore:At least one mel filter")  # their default, 128 bins of 257 frequencies
@pytest.mark.parametrize("frames", [1024, 60])
def test_asts_bank_is_that_of_its_extractor(frames):
    from transformers import ASTFeatureExtractor

    waves, lengths, short = clips()
    theirs = ASTFeatureExtractor(max_length=frames)
    expected = np.stack(
        [theirs(s, sampling_rate=16000, return_tensors="np")["input_values"][0] for s in short]
    )
    ours = hearing.Ast(16000, frames)(waves, lengths)["input_values"]
    assert ours.shape == (4, frames, 128)
    assert np.abs(ours.numpy() - expected).max() < 1e-4


@pytest.mark.parametrize("mask", [False, True])
def test_waveforms_are_normalised_as_their_extractor_does(mask):
    from transformers import Wav2Vec2FeatureExtractor

    waves, lengths, short = clips()
    theirs = Wav2Vec2FeatureExtractor(return_attention_mask=mask)
    expected = theirs(short, sampling_rate=16000, padding="max_length", max_length=16000, return_tensors="pt")
    ours = hearing.Waveform(16000, mask=mask)(waves, lengths)
    assert set(ours) == set(expected)
    for name, values in expected.items():
        assert (ours[name] - values).abs().max() < 1e-4


def test_the_spectrum_is_computed_in_full_precision_also_under_autocast():
    modality, columns = Audio("audio"), encode(file(tone(16000, 0.7), 16000))
    expected = hearing.Whisper(16000, 100)
    plain = modality.prepare(batch(columns), expected, None).inputs["input_features"]
    with torch.autocast("cpu", torch.bfloat16):
        same = modality.prepare(batch(columns), expected, None).inputs["input_features"]
    assert torch.equal(plain, same)


def test_shift_moves_a_clip_in_time_by_its_generator():
    modality = Audio("audio", augment="shift", sample_rate=1000)
    wave = torch.zeros(50, 1000, dtype=torch.int16)
    wave[:, 500] = 16384
    columns = {"waveform": wave, "length": torch.full((50,), 600, dtype=torch.int32)}
    spec = hearing.Waveform(1000, normalise=False, mask=True)
    moved, again = (
        modality.prepare(batch(columns), spec, torch.Generator().manual_seed(3)).inputs for _ in range(2)
    )
    assert torch.equal(moved["input_values"], again["input_values"])
    at = moved["input_values"].argmax(1)
    assert at.min() >= 400 and at.max() <= 600 and len(at.unique()) > 20
    assert torch.equal(moved["attention_mask"].sum(1), 600 + at - 500)
    still = modality.prepare(batch(columns), spec, None).inputs["input_values"]
    assert (still.argmax(1) == 500).all() and modality.draws and not Audio("audio").draws


def test_settings_out_of_range_are_one_sentence():
    with pytest.raises(UsageError, match=r"modality\.augment is one of none, shift; not 'shfit'"):
        Audio("audio", augment="shfit")
    with pytest.raises(UsageError, match=r"modality\.seconds must lie in"):
        Audio("audio", seconds=0)
    facts = {"samples": 16000}
    with pytest.raises(UsageError, match=r"model\.features\.kind is one of waveform, whisper, ast"):
        Audio("audio").expects({"features": {"kind": "wisper"}}, facts)
    with pytest.raises(UsageError, match="'whisper' has no setting 'mel', only hop, mels, window"):
        Audio("audio").expects({"features": {"kind": "whisper", "mel": 3}}, facts)


def test_a_random_start_takes_the_frames_that_a_clip_has():
    facts = {"samples": 4100}
    whisper = Audio("audio").expects({"features": {"kind": "whisper", "mels": 20, "hop": 80}}, facts)
    assert whisper.frames == 52 and Audio("audio").shape(whisper) == {
        "num_mel_bins": 20, "max_source_positions": 26}  # fmt: skip
    ast = Audio("audio").expects({"features": {"kind": "ast", "mels": 20}}, facts)
    assert Audio("audio").shape(ast) == {"num_mel_bins": 20, "max_length": 24}
    columns = encode(file(tone(16000, 0.2), 16000), seconds=4100 / 16000)
    for spec in (whisper, ast):
        (values,) = Audio("audio").prepare(batch(columns), spec, None).inputs.values()
        assert set(values.shape[1:]) == {20, spec.frames}
