"""Augmentations of a whole batch of images at once, on its device."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor


def shift(pixels: Tensor, _size: int, generator: torch.Generator) -> Tensor:
    """Each image (B, C, H, W) moved by up to an eighth of its side in each direction, edges repeated."""
    count, _, height, width = pixels.shape
    reach = max(1, width // 8)
    padded = F.pad(pixels, (reach,) * 4, mode="replicate")
    moves = torch.randint(0, 2 * reach + 1, (2, count, 1), generator=generator).to(pixels.device)
    ys = moves[0] + torch.arange(height, device=pixels.device)  # (B, H)
    xs = moves[1] + torch.arange(width, device=pixels.device)  # (B, W)
    image = torch.arange(count, device=pixels.device)[:, None, None]
    return padded[image, :, ys[:, :, None], xs[:, None, :]].permute(0, 3, 1, 2)


def crop_flip(pixels: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """RandomResizedCrop (8 to 100 % of the area, aspect 3/4 to 4/3) to (size, size), and a flip by chance.

    Sampled as one affine grid for the batch: each image gets its own box and flip.
    """
    count = len(pixels)
    draw = torch.rand((5, count), generator=generator).to(pixels.device)
    area, aspect = 0.08 + 0.92 * draw[0], (draw[1] * 2 - 1) * 0.2876820724517809
    height = (area.sqrt() * (-aspect / 2).exp()).clamp(max=1)
    width = (area.sqrt() * (aspect / 2).exp()).clamp(max=1)
    centre_x, centre_y = (draw[2] * 2 - 1) * (1 - width), (draw[3] * 2 - 1) * (1 - height)
    flip = torch.where(draw[4] < 0.5, -1.0, 1.0)
    zero = torch.zeros_like(width)
    rows = (torch.stack([width * flip, zero, centre_x], 1), torch.stack([zero, height, centre_y], 1))
    grid = F.affine_grid(torch.stack(rows, 1), [count, pixels.shape[1], size, size], False)
    return F.grid_sample(pixels, grid, padding_mode="reflection", align_corners=False)


AUGMENTATIONS: dict[str, Callable[[Tensor, int, torch.Generator], Tensor]] = {
    "shift": shift,
    "crop_flip": crop_flip,
}
