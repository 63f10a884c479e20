"""Pictures as a checkpoint's frozen autoencoder stores them, computed once per task."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mubench.errors import UsageError
from mubench.hub import reaching

BATCH = 32  # pictures encoded together


def has_autoencoder(checkpoint: str | None) -> bool:
    """Whether a model denoises latents: every checkpoint but a local one that has no `vae` folder."""
    return checkpoint is not None and not (Path(checkpoint).is_dir() and not Path(checkpoint, "vae").is_dir())


@lru_cache(maxsize=1)
def autoencoder(checkpoint: str, device: torch.device) -> Any:
    """The frozen autoencoder of a checkpoint in diffusers' layout."""
    from diffusers import AutoencoderKL

    with reaching(f"the autoencoder of '{checkpoint}'", "and pass model.checkpoint=PATH"):
        vae = AutoencoderKL.from_pretrained(checkpoint, subfolder="vae", use_safetensors=True)
    return vae.float().to(device).eval().requires_grad_(False)


@torch.inference_mode()
def latents(pictures: Tensor, checkpoint: str) -> Tensor:
    """Scaled posterior means (n, C, h, w) float32, on the CPU, of pictures (n, 3, H, W) uint8.

    UsageError if the autoencoder cannot halve the pictures as often as it does.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    vae = autoencoder(checkpoint, device)
    block = 2 ** (len(vae.config.block_out_channels) - 1)
    if any(side % block for side in pictures.shape[-2:]):
        height, width = pictures.shape[-2:]
        raise UsageError(
            f"pictures of {width}x{height} pixels do not divide by {block}, as the autoencoder needs; "
            "set model.image_size"
        )
    found = [vae.encode(scaled(piece.to(device))).latent_dist.mean.cpu() for piece in pictures.split(BATCH)]
    whole: Tensor = torch.cat(found) * vae.config.scaling_factor
    return whole


def scaled(pictures: Tensor) -> Tensor:
    """What a model denoises: uint8 pixels in [-1, 1], latents as they are."""
    return pictures.float() / 127.5 - 1 if pictures.dtype == torch.uint8 else pictures.float()
