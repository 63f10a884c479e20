"""Images and their class: uint8 columns, normalised, resized and augmented on the device."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mubench import divergence
from mubench.data import Batch
from mubench.errors import UsageError
from mubench.modalities.augment import AUGMENTATIONS
from mubench.schema import one_of


@dataclass(frozen=True)
class InputSpec:
    """What a model expects of its pixels: side in pixels, mean and deviation per channel in [0, 1]."""

    image_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass
class Image:
    """Classification of images."""

    name: str = "image"
    augment: str = "none"

    def __post_init__(self) -> None:
        one_of("modality.augment", self.augment, ("none", *AUGMENTATIONS))

    def encode(self, images: Any) -> dict[str, Tensor]:
        """Raw images, an array (N, H, W[, C]) or encoded files, as {"pixel_values": (N, C, H, W) uint8}."""
        array = images if isinstance(images, np.ndarray) else decode(images)
        array = array[..., None] if array.ndim == 3 else array
        pixels = torch.from_numpy(np.ascontiguousarray(array.transpose(0, 3, 1, 2)))
        return {"pixel_values": pixels}

    def statistics(self, inputs: dict[str, Tensor]) -> dict[str, list[float]]:
        """Mean and deviation per channel, in [0, 1], for models that bring none of their own."""
        pixels = inputs["pixel_values"].double() / 255
        std = pixels.std(dim=(0, 2, 3)).clamp_min(1e-3)
        return {"mean": pixels.mean(dim=(0, 2, 3)).tolist(), "std": std.tolist()}

    def shape(self, inputs: dict[str, Tensor]) -> dict[str, int]:
        """What a network must know to be built: channels, and the side of the square image."""
        _, channels, height, width = inputs["pixel_values"].shape
        return {"channels": channels, "image_size": max(height, width)}

    def prepare(self, batch: Batch, spec: InputSpec, generator: torch.Generator | None) -> Batch:
        """Float pixels as the model expects them; augmented if there is a generator of the draws."""
        pixels = batch.inputs["pixel_values"].float() / 255
        if generator is not None and self.augment != "none":
            pixels = AUGMENTATIONS[self.augment](pixels, spec.image_size, generator)
        if pixels.shape[-2:] != (spec.image_size, spec.image_size):
            size = (spec.image_size, spec.image_size)
            pixels = F.interpolate(pixels, size, mode="bilinear", antialias=True)
        mean, std = (pixels.new_tensor(v).view(1, -1, 1, 1) for v in (spec.mean, spec.std))
        return replace(batch, inputs={"pixel_values": (pixels - mean) / std})

    def logits(self, model: nn.Module, batch: Batch) -> Tensor:
        """Class scores (B, C) of a prepared batch."""
        output = model(**batch.inputs)
        return output if isinstance(output, Tensor) else output.logits

    def losses(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy per example, (B,), in nats."""
        return F.cross_entropy(logits.float(), targets, reduction="none")

    def divergence(self, teacher: Tensor, student: Tensor, temperature: float = 1.0) -> Tensor:
        """KL(teacher || student) per example, (B,)."""
        return divergence.kl(teacher, student, temperature)

    def relabel(self, targets: Tensor, classes: int, generator: torch.Generator) -> Tensor:
        """A label drawn uniformly from the K-1 wrong ones for each target (n,)."""
        if classes < 2:
            raise UsageError("random labels need at least two classes")
        shift = torch.randint(1, classes, targets.shape, generator=generator)
        return (targets + shift.to(targets.device)) % classes


def decode(images: Sequence[Any]) -> np.ndarray:
    """Encoded files ({"bytes", "path"} or PIL images) as one array (N, H, W, 3) uint8.

    UsageError names the row of a file that cannot be read, or whose size differs from the first's.
    """
    rows = [_pixels(image, row) for row, image in enumerate(images)]
    for row, pixels in enumerate(rows):
        if pixels.shape != rows[0].shape:
            raise UsageError(
                f"image {row} is {pixels.shape[1]}x{pixels.shape[0]} pixels, "
                f"the first is {rows[0].shape[1]}x{rows[0].shape[0]}: the task expects one size"
            )
    return np.stack(rows)


def _pixels(image: Any, row: int) -> np.ndarray:
    from PIL import Image as Pillow

    try:
        if isinstance(image, dict):
            data = image.get("bytes")
            image = Pillow.open(io.BytesIO(data) if data else image["path"])
        return np.asarray(image.convert("RGB"))
    except (OSError, KeyError, AttributeError, SyntaxError) as error:
        raise UsageError(f"image {row} cannot be decoded: {error}") from error
