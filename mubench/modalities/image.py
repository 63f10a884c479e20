"""Images and their class: uint8 columns, normalised, resized and augmented on the device."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mubench.data import Batch
from mubench.hub import reaching
from mubench.modalities.augment import AUGMENTATIONS
from mubench.modalities.base import BrokenRow, Fields
from mubench.modalities.classification import Classification
from mubench.schema import one_of


@dataclass(frozen=True)
class InputSpec:
    """What a model expects of its pixels: side in pixels, mean and deviation per channel in [0, 1]."""

    image_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass
class Image(Classification):
    """Classification of images."""

    fields: ClassVar[tuple[str, ...]] = ("image",)

    def __post_init__(self) -> None:
        one_of("modality.augment", self.augment, ("none", *AUGMENTATIONS))

    def encode(self, rows: Fields, folder: Path) -> dict[str, Tensor]:
        """Raw images, an array (n, H, W[, C]) or encoded files, as {"pixel_values": (n, C, H, W) uint8}."""
        images = rows["image"]
        array = images if isinstance(images, np.ndarray) else decode(images)
        array = array[..., None] if array.ndim == 3 else array
        pixels = torch.from_numpy(np.ascontiguousarray(array.transpose(0, 3, 1, 2)))
        return {"pixel_values": pixels}

    def facts(self, train: Mapping[str, Tensor], folder: Path) -> dict[str, Any]:
        """The longer side in pixels; mean and deviation per channel, in [0, 1]."""
        return pixel_facts(train["pixel_values"])

    def expects(self, model: Mapping[str, Any], facts: Mapping[str, Any]) -> InputSpec:
        """The checkpoint's resolution and normalisation, or the data's own; `image_size` overrides."""
        checkpoint, side = model.get("checkpoint"), model.get("image_size")
        native = processor(checkpoint) if checkpoint else _spec(facts)
        return replace(native, image_size=int(side)) if side else native

    def shape(self, expected: InputSpec) -> dict[str, int]:
        """Channels, and the side of the square image."""
        return {"channels": len(expected.mean), "image_size": expected.image_size}

    def prepare(self, batch: Batch, expected: InputSpec, generator: torch.Generator | None) -> Batch:
        """Float pixels as the model expects them; augmented if there is a generator of the draws."""
        pixels = batch.inputs["pixel_values"].float() / 255
        if generator is not None and self.augment != "none":
            pixels = AUGMENTATIONS[self.augment](pixels, expected.image_size, generator)
        return replace(batch, inputs={"pixel_values": normalise(pixels, expected)})


def normalise(pixels: Tensor, expected: InputSpec) -> Tensor:
    """Pixels (B, C, H, W) in [0, 1] as a model expects them: size, channels, mean and deviation."""
    size = (expected.image_size, expected.image_size)
    if pixels.shape[-2:] != size:
        pixels = F.interpolate(pixels, size, mode="bilinear", antialias=True)
    pixels = pixels.expand(-1, len(expected.mean), -1, -1)  # grey images for a colour model
    mean, std = (pixels.new_tensor(v).view(1, -1, 1, 1) for v in (expected.mean, expected.std))
    return (pixels - mean) / std


def pixel_facts(pixels: Tensor) -> dict[str, Any]:
    """Of pictures (N, C, H, W) uint8: the longer side, mean and deviation per channel in [0, 1].

    Summed piece by piece, so that a memory-mapped split need not fit into memory; exact in float64.
    """
    total = squares = torch.zeros(pixels.shape[1], dtype=torch.float64)
    for piece in pixels.split(1000):
        values = piece.double() / 255
        total = total + values.sum(dim=(0, 2, 3))
        squares = squares + values.square().sum(dim=(0, 2, 3))
    count = pixels.numel() // pixels.shape[1]
    mean = total / count
    variance = (squares / count - mean.square()).clamp_min(0) * count / max(1, count - 1)
    std = variance.sqrt().clamp_min(1e-3)
    return {"image_size": max(pixels.shape[-2:]), "mean": mean.tolist(), "std": std.tolist()}


def _spec(found: Mapping[str, Any]) -> InputSpec:
    return InputSpec(int(found["image_size"]), tuple(found["mean"]), tuple(found["std"]))


def processor(checkpoint: str) -> InputSpec:
    """The resolution and normalisation that a checkpoint was trained with."""
    from transformers.image_processing_base import ImageProcessingMixin

    with reaching(f"model '{checkpoint}' from the hub or a folder", "and pass model.checkpoint=PATH"):
        found, _ = ImageProcessingMixin.get_image_processor_dict(checkpoint)
    crop = found["crop_size"] if found.get("do_center_crop") else found.get("size", 224)
    side = crop if isinstance(crop, int) else crop.get("height") or crop.get("shortest_edge")
    half = [0.5, 0.5, 0.5]
    mean, std = found.get("image_mean") or half, found.get("image_std") or half
    return _spec({"image_size": side, "mean": mean, "std": std})


def decode(images: Sequence[Any]) -> np.ndarray:
    """Encoded files ({"bytes", "path"} or PIL images) as one array (n, H, W, 3) uint8.

    BrokenRow names a file that cannot be read, or whose size differs from the first's.
    """
    pictures = [pixels_of(image, place) for place, image in enumerate(images)]
    for place, pixels in enumerate(pictures):
        if pixels.shape != pictures[0].shape:
            raise BrokenRow(
                place,
                f"the image is {pixels.shape[1]}x{pixels.shape[0]} pixels, others are "
                f"{pictures[0].shape[1]}x{pictures[0].shape[0]}: the task expects one size",
            )
    return np.stack(pictures)


def pixels_of(image: Any, place: int) -> np.ndarray:
    """One picture (H, W, 3) uint8 from {"bytes", "path"} or a PIL image; BrokenRow if it cannot be read."""
    from PIL import Image as Pillow

    try:
        if isinstance(image, dict):
            data = image.get("bytes")
            image = Pillow.open(io.BytesIO(data or Path(image["path"]).read_bytes()))
        return np.asarray(image.convert("RGB"))
    except (OSError, KeyError, AttributeError, SyntaxError, TypeError, ValueError) as error:
        raise BrokenRow(place, f"the image cannot be decoded: {error}") from error
