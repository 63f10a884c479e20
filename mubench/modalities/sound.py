"""Sound files and arrays as clips: one channel, one rate, 16 bits, no longer than so many samples."""

from __future__ import annotations

import io
from math import gcd
from typing import Any

import numpy as np

from mubench.modalities.base import BrokenRow


def clip(sound: Any, place: int, rate: int, samples: int) -> np.ndarray:
    """The first samples (up to `samples`,) int16 of a sound, at `rate` a second.

    `sound` is an encoded file {"bytes", "path"} (WAV, FLAC and what else libsndfile reads) or an array
    {"array", "sampling_rate"} of floats in [-1, 1]. BrokenRow if it cannot be read or is empty.
    """
    wave, native = _heard(sound, place, samples / rate)
    if not len(wave):
        raise BrokenRow(place, "the sound is empty")
    if not np.isfinite(wave).all():
        raise BrokenRow(place, "the sound has values that are not finite")
    mono = wave.mean(1) if wave.ndim == 2 else wave
    if native != rate:
        mono = _resampled(mono, native, rate)
    return (mono[:samples] * 32768).round().clip(-32768, 32767).astype(np.int16)


def _heard(sound: Any, place: int, seconds: float) -> tuple[np.ndarray, int]:
    """The beginning of a sound as floats (n[, channels]), and its rate."""
    import soundfile

    try:
        if "array" in sound:
            rate = int(sound["sampling_rate"])
            return np.asarray(sound["array"], dtype=np.float32)[: _count(seconds, rate)], rate
        data = sound.get("bytes")
        with soundfile.SoundFile(io.BytesIO(data) if data else sound["path"]) as file:
            wanted = min(file.frames, _count(seconds, file.samplerate))
            wave = file.read(wanted, dtype="float32")
            if len(wave) < wanted:
                raise ValueError(f"it ends after {len(wave)} of {file.frames} samples")
            return wave, file.samplerate
    except (OSError, RuntimeError, KeyError, AttributeError, TypeError, ValueError) as error:
        raise BrokenRow(place, f"the sound cannot be decoded: {error}") from error


def _count(seconds: float, rate: int) -> int:
    return int(np.ceil(seconds * rate))


def _resampled(wave: np.ndarray, native: int, rate: int) -> np.ndarray:
    from scipy.signal import resample_poly

    common = gcd(native, rate)
    resampled: np.ndarray = resample_poly(wave, rate // common, native // common)
    return resampled
