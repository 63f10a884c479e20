"""What models of speech hear: waveforms as Wav2Vec2 takes them, log-mel spectra as Whisper and AST do.

Each kind makes of waves (B, S) in [-1, 1], zero from a row's length (B,) on, what the feature extractor
of transformers makes of one clip after the other.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from mubench.errors import UsageError
from mubench.hub import reaching
from mubench.modalities import mel
from mubench.schema import one_of


@dataclass(frozen=True)
class Hearing(ABC):
    """How a model takes sound of `rate` samples a second."""

    rate: int

    model_type: ClassVar[str | None] = None  # of transformers' configs that hear so; None: all others
    theirs: ClassVar[Mapping[str, str]] = {}  # our settings: theirs, in a preprocessor_config.json

    @classmethod
    def random(cls, rate: int, samples: int, settings: Mapping[str, Any]) -> Self:  # noqa: ARG003
        """For a model with a random start, that takes clips of so many samples as they are."""
        return cls(rate, **settings)

    @classmethod
    def published(
        cls,
        rate: int,
        extractor: Mapping[str, Any],
        config: Mapping[str, Any],  # noqa: ARG003
    ) -> Self:
        """For a checkpoint with these settings of its feature extractor, and this config."""
        known = {ours: extractor[theirs] for ours, theirs in cls.theirs.items() if theirs in extractor}
        return cls(rate, **known)

    @property
    def shape(self) -> dict[str, int]:
        """The input's dimensions as attributes of the model's config."""
        return {}

    @abstractmethod
    def __call__(self, waves: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        """The model's keyword arguments."""


@dataclass(frozen=True)
class Waveform(Hearing):
    """The wave itself, of mean 0 and variance 1 (Wav2Vec2FeatureExtractor).

    With a mask, padding counts neither there nor in the model; without, it is part of the clip.
    """

    normalise: bool = True
    mask: bool = False

    theirs: ClassVar[Mapping[str, str]] = {"normalise": "do_normalize", "mask": "return_attention_mask"}

    def __call__(self, waves: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        """`input_values` (B, S), and `attention_mask` (B, S) int64 where the model reads one."""
        places = torch.arange(waves.shape[1], device=waves.device)
        heard = places < lengths[:, None] if self.mask else torch.ones_like(waves, dtype=torch.bool)
        if self.normalise:
            count = heard.sum(1, keepdim=True)
            centred = (waves - waves.sum(1, keepdim=True) / count) * heard
            waves = centred / (centred.square().sum(1, keepdim=True) / count + 1e-7).sqrt()
        return {"input_values": waves, **({"attention_mask": heard.long()} if self.mask else {})}


@dataclass(frozen=True)
class Whisper(Hearing):
    """A log-mel spectrum (WhisperFeatureExtractor) of as many frames as the encoder takes."""

    frames: int = 3000
    mels: int = 80
    window: int = 400  # samples; also the length of the Fourier transform
    hop: int = 160

    model_type: ClassVar[str | None] = "whisper"
    theirs: ClassVar[Mapping[str, str]] = {"mels": "feature_size", "window": "n_fft", "hop": "hop_length"}

    @classmethod
    def random(cls, rate: int, samples: int, settings: Mapping[str, Any]) -> Self:
        """An even number of frames: the encoder halves it."""
        return cls(rate, 2 * -(-samples // (2 * settings.get("hop", cls.hop))), **settings)

    @classmethod
    def published(cls, rate: int, extractor: Mapping[str, Any], config: Mapping[str, Any]) -> Self:
        """30 seconds are 3,000 frames."""
        known = {ours: extractor[theirs] for ours, theirs in cls.theirs.items() if theirs in extractor}
        return cls(rate, 2 * config.get("max_source_positions", 1500), **known)

    @property
    def shape(self) -> dict[str, int]:
        """The encoder's positions are half the frames."""
        return {"num_mel_bins": self.mels, "max_source_positions": self.frames // 2}

    def __call__(self, waves: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        """`input_features` (B, mels, frames)."""
        return {
            "input_features": mel.whisper(waves, self.rate, self.frames, self.mels, self.window, self.hop)
        }


@dataclass(frozen=True)
class Ast(Hearing):
    """Kaldi's log-mel filter bank (ASTFeatureExtractor), normalised by two constants."""

    frames: int = 1024
    mels: int = 128
    mean: float = -4.2677393
    std: float = 4.5689974
    normalise: bool = True

    model_type: ClassVar[str | None] = "audio-spectrogram-transformer"
    theirs: ClassVar[Mapping[str, str]] = {
        "frames": "max_length",
        "mels": "num_mel_bins",
        "mean": "mean",
        "std": "std",
        "normalise": "do_normalize",
    }

    @classmethod
    def random(cls, rate: int, samples: int, settings: Mapping[str, Any]) -> Self:
        """As many frames as lie in a clip."""
        return cls(rate, 1 + max(0, samples - mel.KALDI_WINDOW) // mel.KALDI_HOP, **settings)

    @property
    def shape(self) -> dict[str, int]:
        """Frames and bins of the spectrogram."""
        return {"num_mel_bins": self.mels, "max_length": self.frames}

    def __call__(self, waves: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        """`input_values` (B, frames, mels)."""
        bank = mel.kaldi(waves, lengths, self.rate, self.frames, self.mels)
        return {"input_values": (bank - self.mean) / (self.std * 2) if self.normalise else bank}


KINDS: dict[str, type[Hearing]] = {"waveform": Waveform, "whisper": Whisper, "ast": Ast}


def of_settings(features: Mapping[str, Any], rate: int, samples: int) -> Hearing:
    """What a model's `features` (kind, and settings of that kind) say; UsageError for odd ones."""
    one_of("model.features.kind", str(features.get("kind")), tuple(KINDS))
    kind = KINDS[features["kind"]]
    settings = {name: value for name, value in features.items() if name != "kind"}
    known = {field.name for field in fields(kind)} - {"rate", "frames"}
    if odd := sorted(set(settings) - known):
        raise UsageError(
            f"model.features: '{features['kind']}' has no setting '{odd[0]}', only {', '.join(sorted(known))}"
        )
    return kind.random(rate, samples, settings)


def of_checkpoint(checkpoint: str) -> Hearing:
    """What a checkpoint's feature extractor does, as its preprocessor_config.json says."""
    from transformers import FeatureExtractionMixin, PretrainedConfig

    with reaching(f"model '{checkpoint}' from the hub or a folder", "and pass model.checkpoint=PATH"):
        config, _ = PretrainedConfig.get_config_dict(checkpoint)
        found, _ = FeatureExtractionMixin.get_feature_extractor_dict(checkpoint)
    kinds = {kind.model_type: kind for kind in KINDS.values()}
    kind = kinds.get(config.get("model_type"), Waveform)
    return kind.published(int(found.get("sampling_rate", 16000)), found, config)
