"""Rows that hold several pictures of one side: the two of a pair, the frames of a clip."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mubench.modalities.image import InputSpec, normalise, pixel_facts

SAMPLED = 500  # rows that statistics are taken of: real splits hold tens of gigabytes
LATTICE = 64  # of each picture, about this many pixels in each direction


def decoded(decode: Callable[[Any, int], np.ndarray], items: Sequence[Any]) -> Tensor:
    """`decode(item, place)` of each item, stacked; BrokenRow of the first that fails.

    Several at once: what decodes pictures and clips releases Python's lock.
    """
    with ThreadPoolExecutor() as pool:
        return torch.from_numpy(np.stack(list(pool.map(decode, items, range(len(items))))))


def facts(pixels: Tensor) -> dict[str, Any]:
    """Of pictures (N, P, C, S, S) uint8: the side, and of a sample mean and deviation per channel."""
    side = pixels.shape[-1]
    step, thin = -(-len(pixels) // SAMPLED), -(-side // LATTICE)
    sample = pixels[::step, :, :, ::thin, ::thin].flatten(0, 1)
    return {**pixel_facts(sample), "image_size": side}


def prepared(pixels: Tensor, expected: InputSpec) -> Tensor:
    """Pictures (B, P, C, S, S) uint8 as a model expects them: float, its size, mean and deviation."""
    flat = normalise(pixels.flatten(0, 1).float() / 255, expected)
    return flat.view(*pixels.shape[:2], *flat.shape[1:])
