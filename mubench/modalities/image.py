"""Images and their class: uint8 columns, normalised, resized and augmented on the device."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mubench import divergence
from mubench.data import Batch
from mubench.errors import UsageError
from mubench.hub import reaching
from mubench.modalities.augment import AUGMENTATIONS
from mubench.modalities.base import Modality
from mubench.schema import one_of


@dataclass(frozen=True)
class InputSpec:
    """What a model expects of its pixels: side in pixels, mean and deviation per channel in [0, 1]."""

    image_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass
class Image(Modality):
    """Classification of images."""

    def __post_init__(self) -> None:
        one_of("modality.augment", self.augment, ("none", *AUGMENTATIONS))

    def encode(self, images: Any) -> dict[str, Tensor]:
        """Raw images, an array (N, H, W[, C]) or encoded files, as {"pixel_values": (N, C, H, W) uint8}."""
        array = images if isinstance(images, np.ndarray) else decode(images)
        array = array[..., None] if array.ndim == 3 else array
        pixels = torch.from_numpy(np.ascontiguousarray(array.transpose(0, 3, 1, 2)))
        return {"pixel_values": pixels}

    def facts(self, inputs: dict[str, Tensor]) -> dict[str, Any]:
        """The longer side in pixels; mean and deviation per channel, in [0, 1]."""
        pixels = inputs["pixel_values"].double() / 255
        std = pixels.std(dim=(0, 2, 3)).clamp_min(1e-3)
        mean = pixels.mean(dim=(0, 2, 3))
        return {"image_size": max(pixels.shape[-2:]), "mean": mean.tolist(), "std": std.tolist()}

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
        size = (expected.image_size, expected.image_size)
        if pixels.shape[-2:] != size:
            pixels = F.interpolate(pixels, size, mode="bilinear", antialias=True)
        pixels = pixels.expand(-1, len(expected.mean), -1, -1)  # grey images for a colour model
        mean, std = (pixels.new_tensor(v).view(1, -1, 1, 1) for v in (expected.mean, expected.std))
        return replace(batch, inputs={"pixel_values": (pixels - mean) / std})

    def logits(self, model: nn.Module, batch: Batch) -> Tensor:
        """Class scores (B, C) of a prepared batch."""
        output = model(**batch.inputs)
        scores: Tensor = output if isinstance(output, Tensor) else output.logits
        return scores

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
