"""Noise on pictures and its removal: what a denoiser's loss and its sampling share.

A denoiser is a module with `alphas` (T,), the share of the picture's variance left at each step, and
called with noisy pictures (N, C, h, w), steps (N,) and token ids (B, L), B dividing N.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mubench.divergence import precise

SEED = 1_000_003  # of the noise at evaluation, beside the row's number


def steps_of(alphas: Tensor, times: Tensor) -> Tensor:
    """Steps (…) int64 of the schedule at times (…) in [0, 1)."""
    return (times * len(alphas)).long().clamp(0, len(alphas) - 1)


def noised(pictures: Tensor, noise: Tensor, share: Tensor) -> Tensor:
    """sqrt(a) x + sqrt(1 - a) n for a share a of the picture's variance."""
    return share.sqrt() * pictures + (1 - share).sqrt() * noise


def residual(model: nn.Module, pictures: Tensor, noise: Tensor, times: Tensor, input_ids: Tensor) -> Tensor:
    """Predicted minus true noise (B, K, C, h, w): pictures (B, C, h, w), K noises and times each."""
    alphas: Any = model.alphas
    steps = steps_of(alphas, times)
    noisy = noised(pictures[:, None], noise, alphas[steps][..., None, None, None])
    predicted: Tensor = model(noisy.flatten(0, 1), steps.flatten(), input_ids)
    return precise(predicted).view_as(noise) - noise


def fixed_noise(rows: Tensor, shape: Sequence[int]) -> Tensor:
    """Noise (B, *shape) that a row (B,) gets in every batch, the same on every device."""
    generators = (torch.Generator().manual_seed(SEED + int(row)) for row in rows.tolist())
    return torch.stack([torch.randn(tuple(shape), generator=one) for one in generators]).to(rows.device)


def ddim(
    model: nn.Module, noise: Tensor, input_ids: Tensor, empty: Tensor, count: int, guidance: float, clip: bool
) -> Tensor:
    """Pictures (B, C, h, w) from noise in `count` deterministic steps (DDIM; Song et al., 2010.02502).

    `guidance` w follows (1 - w) e(no prompt) + w e(prompt) (Ho & Salimans, 2207.12598); 1 is the
    prompt alone. `clip` keeps each estimate of the picture in [-1, 1], for pixels.
    """
    alphas: Any = model.alphas
    times = torch.arange(count, 0, -1, device=noise.device) / count - 0.5 / count
    steps = steps_of(alphas, times)
    after = torch.cat([alphas[steps[1:]], alphas.new_ones(1)])
    prompts = input_ids if guidance == 1 else torch.cat([empty.expand_as(input_ids), input_ids])
    current = noise
    for step, following in zip(steps, after, strict=True):
        share = alphas[step]
        predicted = _guided(model, current, step, prompts, guidance)
        picture = (current - (1 - share).sqrt() * predicted) / share.sqrt()
        if clip:
            picture = picture.clamp(-1, 1)
            predicted = (current - share.sqrt() * picture) / (1 - share).sqrt()
        current = noised(picture, predicted, following)
    return current


def _guided(model: nn.Module, noisy: Tensor, step: Tensor, prompts: Tensor, guidance: float) -> Tensor:
    """The noise predicted under the prompts, pushed away from that under none."""
    both = noisy if guidance == 1 else torch.cat([noisy, noisy])
    predicted: Tensor = model(both, step.expand(len(both)), prompts).float()
    if guidance == 1:
        return predicted
    without, within = predicted.chunk(2)
    return without + guidance * (within - without)
