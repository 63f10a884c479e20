"""Video clips and their class: some frames of each, as uint8 squares."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from mubench import extras
from mubench.data import Batch
from mubench.modalities import pictures
from mubench.modalities.base import BrokenRow, Fields
from mubench.modalities.classification import Classification
from mubench.modalities.image import Image, InputSpec
from mubench.schema import one_of, within


@dataclass(frozen=True)
class ClipSpec:
    """What a model expects of a clip: how many frames, and how each is normalised."""

    frames: int
    picture: InputSpec


@dataclass
class Video(Classification):
    """Classification of clips, of which every row holds the same number of frames."""

    frames: int = 16  # of each clip, evenly spread over its length
    image_size: int = 224  # side of the stored frames in pixels: their centre square

    fields: ClassVar[tuple[str, ...]] = ("video",)
    piece: ClassVar[int] = 16

    def __post_init__(self) -> None:
        extras.need("video", "av", extra="video")
        one_of("modality.augment", self.augment, ("none", "flip"))
        within("modality.frames", self.frames, 1, 4096)
        within("modality.image_size", self.image_size, 1, 4096)

    def encoder(self, model: Mapping[str, Any]) -> dict[str, Any]:
        """How many frames, and their side."""
        return {**super().encoder(model), "frames": self.frames, "image_size": self.image_size}

    def encode(self, rows: Fields, folder: Path) -> dict[str, Tensor]:
        """Files ({"bytes", "path"}) as {"pixel_values": (n, F, 3, S, S) uint8}; BrokenRow names a bad one."""
        return {"pixel_values": pictures.decoded(self._clip, list(rows["video"]))}

    def _clip(self, video: Any, place: int) -> np.ndarray:
        return clip_of(video, place, self.frames, self.image_size)

    def facts(self, train: Mapping[str, Tensor], folder: Path) -> dict[str, Any]:
        """The side of the frames and their number; of a sample mean and deviation per channel."""
        pixels = train["pixel_values"]
        return {**pictures.facts(pixels), "frames": pixels.shape[1]}

    def expects(self, model: Mapping[str, Any], facts: Mapping[str, Any]) -> ClipSpec:
        """The stored frames at the checkpoint's resolution and normalisation, or the data's own."""
        return ClipSpec(int(facts["frames"]), Image("image").expects(model, facts))

    def shape(self, expected: ClipSpec) -> dict[str, int]:
        """Channels, side and number of the frames."""
        return {**Image("image").shape(expected.picture), "num_frames": expected.frames}

    def prepare(self, batch: Batch, expected: ClipSpec, generator: torch.Generator | None) -> Batch:
        """{"pixel_values": (B, F, C, S, S) float}; half of the clips mirrored if draws are asked for."""
        pixels = pictures.prepared(batch.inputs["pixel_values"], expected.picture)
        if generator is not None and self.augment == "flip":
            mirrored = torch.rand(len(pixels), generator=generator) < 0.5
            pixels = torch.where(mirrored.to(pixels.device).view(-1, 1, 1, 1, 1), pixels.flip(-1), pixels)
        return replace(batch, inputs={"pixel_values": pixels})


def sample(count: int, frames: int) -> np.ndarray:
    """Which of `count` frames stand for a clip, (frames,): the middle ones of equal stretches of it."""
    return ((np.arange(frames) + 0.5) * count / frames).astype(np.int64)


def clip_of(video: Any, place: int, frames: int, side: int) -> np.ndarray:
    """A clip (F, 3, S, S) uint8 from {"bytes", "path"}; BrokenRow if it cannot be read to its end."""
    from av import FFmpegError

    try:
        shown, promised = _frames(video)
    except (FFmpegError, OSError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise BrokenRow(place, f"the video cannot be decoded: {error}") from error
    if not shown:
        raise BrokenRow(place, "the video holds no frames")
    if 2 * len(shown) < promised:  # a few frames fewer than the header says are common
        raise BrokenRow(place, f"the video breaks off after {len(shown)} of its {promised} frames")
    chosen = [shown[at] for at in sample(len(shown), frames)]
    return np.stack([_square(frame.to_image(), side) for frame in chosen])


def _frames(video: Any) -> tuple[list[Any], int]:
    """All frames of a file as they were decoded, not yet in RGB; how many its header promises, or 0."""
    import av

    data = video.get("bytes")
    with av.open(str(video["path"]) if data is None else io.BytesIO(data)) as container:
        if not container.streams.video:
            return [], 0
        stream = container.streams.video[0]
        return list(container.decode(stream)), stream.frames


def _square(picture: Any, side: int) -> np.ndarray:
    """The centre square of a PIL image at another size, (3, side, side)."""
    from PIL import Image as Pillow

    short = min(picture.size)
    left, top = (picture.width - short) / 2, (picture.height - short) / 2
    box = (left, top, left + short, top + short)
    resized = picture.resize((side, side), Pillow.Resampling.BILINEAR, box=box)
    return np.asarray(resized).transpose(2, 0, 1)
