"""Log-mel spectra of a whole batch on its device, equal to what transformers computes clip by clip."""

from __future__ import annotations

import warnings
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

KALDI_WINDOW, KALDI_HOP, KALDI_FFT = 400, 160, 512  # samples, whatever the rate


def whisper(waves: Tensor, rate: int, frames: int, mels: int, window: int, hop: int) -> Tensor:
    """Waves (B, S) in [-1, 1] as (B, mels, frames): WhisperFeatureExtractor.

    Frames beyond the clip are silent and not transformed: silence gives the floor of the logarithm.
    """
    reached = min(frames, -(-(waves.shape[1] + window) // hop))
    waves = F.pad(waves[:, : frames * hop], (0, max(0, reached * hop - waves.shape[1])))
    taper = torch.hann_window(window, device=waves.device)
    power = torch.stft(waves, window, hop, window=taper, return_complex=True)[..., :-1].abs().square()
    filters = _slaney(window, mels, rate).to(waves.device)
    logs = (filters.T @ power.contiguous()).clamp_min(1e-10).log10()
    logs = F.pad(logs, (0, frames - reached), value=-10.0)
    logs = logs.maximum(logs.amax((1, 2), keepdim=True) - 8)
    return (logs + 4) / 4


def kaldi(waves: Tensor, lengths: Tensor, rate: int, frames: int, mels: int) -> Tensor:
    """Waves (B, S) in [-1, 1], lengths (B,), as (B, frames, mels): ASTFeatureExtractor before it normalises.

    Frames that do not lie wholly within a row's length are 0.
    """
    waves = F.pad(waves, (0, max(0, KALDI_WINDOW - waves.shape[1])))
    pieces = waves.unfold(1, KALDI_WINDOW, KALDI_HOP)
    pieces = pieces - pieces.mean(-1, keepdim=True)
    before = torch.cat([pieces[..., :1], pieces[..., :-1]], -1)
    taper = torch.hann_window(KALDI_WINDOW, periodic=False, device=waves.device)
    power = torch.fft.rfft((pieces - 0.97 * before) * taper, KALDI_FFT).abs().square()
    filters = _kaldi(mels, rate).to(waves.device)
    logs = (power @ filters).clamp_min(torch.finfo(torch.float32).eps).log()
    whole = 1 + (lengths - KALDI_WINDOW).div(KALDI_HOP, rounding_mode="floor")
    logs = logs * (torch.arange(logs.shape[1], device=waves.device) < whole[:, None])[..., None]
    return F.pad(logs, (0, 0, 0, max(0, frames - logs.shape[1])))[:, :frames]


@lru_cache(maxsize=4)
def _slaney(fft: int, mels: int, rate: int) -> Tensor:
    """Slaney's filters (fft // 2 + 1, mels), each of area 1, up to 8 kHz."""
    from transformers.audio_utils import mel_filter_bank

    top = min(8000, rate // 2)
    bank = mel_filter_bank(fft // 2 + 1, mels, 0, top, rate, norm="slaney", mel_scale="slaney")
    return torch.from_numpy(bank).float()


@lru_cache(maxsize=4)
def _kaldi(mels: int, rate: int) -> Tensor:
    """Kaldi's filters (257, mels), triangles on the mel scale, from 20 Hz up."""
    from transformers.audio_utils import mel_filter_bank

    with warnings.catch_warnings():  # AST's own 128 bins leave the lowest without a frequency
        warnings.filterwarnings("ignore", "At least one mel filter has all zero values")
        bank = mel_filter_bank(
            KALDI_FFT // 2 + 1, mels, 20, rate // 2, rate, mel_scale="kaldi", triangularize_in_mel_space=True
        )
    return torch.from_numpy(bank).float()
