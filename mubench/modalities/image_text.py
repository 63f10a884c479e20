"""Two pictures and a sentence about them, and its class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from mubench.data import Batch
from mubench.modalities import pictures
from mubench.modalities.base import Fields
from mubench.modalities.classification import Classification
from mubench.modalities.image import Image, InputSpec, pixels_of
from mubench.modalities.text import Text, TextSpec
from mubench.schema import one_of, within


@dataclass(frozen=True)
class PairSpec:
    """What a model expects of the pictures and of the text."""

    picture: InputSpec
    text: TextSpec


@dataclass
class ImageText(Classification):
    """Classification of a left picture, a right picture and a text.

    Pictures are stored as squares, whatever their shape was: all columns of a split have one size.
    """

    image_size: int = 384  # side of the stored pictures in pixels
    max_length: int = 40  # of the text, in tokens

    fields: ClassVar[tuple[str, ...]] = ("left", "right", "text")
    piece: ClassVar[int] = 64

    def __post_init__(self) -> None:
        one_of("modality.augment", self.augment, ("none",))  # a flip would turn left into right
        within("modality.image_size", self.image_size, 1, 4096)
        self._text = Text("text", max_length=self.max_length)

    def encoder(self, model: Mapping[str, Any]) -> dict[str, Any]:
        """What decides the tokens, and the side of the pictures."""
        return {**self._text.encoder(model), **super().encoder(model), "image_size": self.image_size}

    def learn(self, train: Fields, model: Mapping[str, Any], folder: Path) -> None:
        """The model's tokenizer, or one learned from the training texts."""
        self._text.learn(train, model, folder)

    def encode(self, rows: Fields, folder: Path) -> dict[str, Tensor]:
        """{"pixel_values": (n, 2, 3, S, S) uint8, left and right} and the columns of the texts."""
        texts = self._text.encode(rows, folder)
        pairs = list(zip(rows["left"], rows["right"], strict=True))
        return {"pixel_values": pictures.decoded(self._pair, pairs), **texts}

    def _pair(self, pair: tuple[Any, Any], place: int) -> np.ndarray:
        squares = [square(pixels_of(picture, place), self.image_size) for picture in pair]
        return np.stack(squares).transpose(0, 3, 1, 2)

    def facts(self, train: Mapping[str, Tensor], folder: Path) -> dict[str, Any]:
        """Those of the pictures, and those of the texts."""
        return {**pictures.facts(train["pixel_values"]), **self._text.facts(train, folder)}

    def expects(self, model: Mapping[str, Any], facts: Mapping[str, Any]) -> PairSpec:
        """The checkpoint's resolution and normalisation, or the data's own, and the tokenizer's sizes."""
        return PairSpec(Image("image").expects(model, facts), self._text.expects(model, facts))

    def shape(self, expected: PairSpec) -> dict[str, int]:
        """Dimensions of a picture, and of the text."""
        return {**self._text.shape(expected.text), **Image("image").shape(expected.picture)}

    def prepare(self, batch: Batch, expected: PairSpec, generator: torch.Generator | None) -> Batch:
        """{"pixel_values": (B, 2, C, S, S) float, "input_ids", "attention_mask": (B, T) int64}."""
        texts = self._text.prepare(batch, expected.text, generator).inputs
        pixels = pictures.prepared(batch.inputs["pixel_values"], expected.picture)
        return replace(batch, inputs={"pixel_values": pixels, **texts})

    def unimodal_and_fused(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        """Features of each input by itself, (B, U), and of both together, (B, F); a network gives `features`.

        U depends on the batch's longest text.
        """
        network: Any = model
        text, pictures, fused = network.features(**batch.inputs)
        return torch.cat([text.flatten(1), pictures.flatten(1)], dim=1), fused

    def recombined(self, batch: Batch, other: Batch) -> Batch:
        """The pictures of one prepared batch with the texts of another."""
        return replace(batch, inputs={**other.inputs, "pixel_values": batch.inputs["pixel_values"]})

    def own(self, model: nn.Module, batch: Batch, part: nn.Module) -> Tensor | None:
        """The tokens that are not padding; pictures follow them, and have none."""
        return batch.inputs["attention_mask"].bool()


def square(pixels: np.ndarray, side: int) -> np.ndarray:
    """A picture (H, W, 3) uint8 stretched or shrunk to (side, side, 3)."""
    from PIL import Image as Pillow

    picture = Pillow.fromarray(pixels)
    return np.asarray(picture.resize((side, side), Pillow.Resampling.BICUBIC))
