"""Sounds and their class: clips of 16 bits as columns; what a model hears is computed on the device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from mubench.data import Batch
from mubench.errors import UsageError
from mubench.modalities.base import Fields
from mubench.modalities.classification import Classification
from mubench.modalities.hearing import Hearing, of_checkpoint, of_settings
from mubench.modalities.sound import clip
from mubench.schema import one_of, within

LARGEST_SHIFT = 0.1  # seconds


@dataclass
class Audio(Classification):
    """Classification of sounds, cut or padded to one length."""

    sample_rate: int = 16000
    seconds: float = 1.0

    fields: ClassVar[tuple[str, ...]] = ("audio",)

    def __post_init__(self) -> None:
        one_of("modality.augment", self.augment, ("none", "shift"))
        within("modality.sample_rate", self.sample_rate, 1000, 192_000)
        within("modality.seconds", self.seconds, 0, 600, "(]")

    @property
    def samples(self) -> int:
        """Of a clip."""
        return round(self.seconds * self.sample_rate)

    def encoder(self, model: Mapping[str, Any]) -> dict[str, Any]:
        """The rate and length of clips."""
        return {"modality": self.name, "rate": self.sample_rate, "samples": self.samples}

    def encode(self, rows: Fields, folder: Path) -> dict[str, Tensor]:
        """Sounds as {"waveform": (n, S) int16, "length": (n,) int32}, zeros from a row's length on."""
        waves = np.zeros((len(rows["audio"]), self.samples), dtype=np.int16)
        lengths = np.zeros(len(waves), dtype=np.int32)
        for place, sound in enumerate(rows["audio"]):
            wave = clip(sound, place, self.sample_rate, self.samples)
            waves[place, : len(wave)], lengths[place] = wave, len(wave)
        return {"waveform": torch.from_numpy(waves), "length": torch.from_numpy(lengths)}

    def facts(self, train: Mapping[str, Tensor], folder: Path) -> dict[str, Any]:
        """Samples of a clip."""
        return {"samples": train["waveform"].shape[1]}

    def expects(self, model: Mapping[str, Any], facts: Mapping[str, Any]) -> Hearing:
        """What the checkpoint's feature extractor does, or what the model's `features` say.

        UsageError if the model was trained on another rate.
        """
        checkpoint = model.get("checkpoint")
        if not checkpoint:
            return of_settings(model.get("features") or {}, self.sample_rate, int(facts["samples"]))
        found = of_checkpoint(str(checkpoint))
        if found.rate != self.sample_rate:
            raise UsageError(
                f"model '{checkpoint}' hears {found.rate} samples a second: "
                f"pass modality.sample_rate={found.rate}, not {self.sample_rate}"
            )
        return found

    def shape(self, expected: Hearing) -> dict[str, int]:
        """Of a spectrogram; a waveform has none."""
        return expected.shape

    def prepare(self, batch: Batch, expected: Hearing, generator: torch.Generator | None) -> Batch:
        """What the model hears, in full precision; moved in time if there is a generator of the draws."""
        waves = batch.inputs["waveform"].float() / 32768
        lengths = batch.inputs["length"]
        if generator is not None and self.augment != "none":
            waves, lengths = shift(waves, lengths, round(LARGEST_SHIFT * self.sample_rate), generator)
        with torch.autocast(waves.device.type, enabled=False):
            return replace(batch, inputs=expected(waves, lengths))


def shift(waves: Tensor, lengths: Tensor, reach: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Each row (B, S) moved by up to `reach` samples to either side, zeros following; lengths (B,)."""
    count, samples = waves.shape
    moves = torch.randint(-reach, reach + 1, (count,), generator=generator).to(waves.device)
    source = torch.arange(samples, device=waves.device) - moves[:, None]
    inside = (source >= 0) & (source < samples)
    moved = waves.gather(1, source.clamp(0, samples - 1)) * inside
    return moved, (lengths + moves).clamp(1, samples)
