"""Pictures from prompts by diffusion: the target is the picture, the loss that of the predicted noise."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mubench.data import Batch
from mubench.divergence import precise
from mubench.extras import need
from mubench.fingerprint import folder_hash
from mubench.modalities import denoising, lookers, prompts, signals, tokens
from mubench.modalities.base import Fields, Modality
from mubench.modalities.image import decode
from mubench.modalities.latents import has_autoencoder, latents, scaled
from mubench.modalities.lookers import FeatureSettings, Looker
from mubench.modalities.signals import Signal
from mubench.schema import within

PROMPTS, SETTINGS = "prompts.json", "encoding.json"  # files in the encoder's folder


@dataclass(frozen=True)
class PromptSpec:
    """What a model's prompts look like, and where the encoder lies."""

    vocab_size: int
    length: int  # tokens of a prompt, padded
    empty: tuple[int, ...]  # tokens of no prompt
    encoder: Path


@dataclass
class TextToImage(Modality):
    """Targets (B, C, h, w): latents as float32 where the model has an autoencoder, else uint8 pixels.

    `logits` are predicted minus true noise (B, K, C, h, w) at K noise levels, one drawn in training, a
    fixed grid at evaluation, each row under noise of its own: a loss that differs between models only.
    """

    eval_steps: int = 4  # noise levels at evaluation, in the middles of as many equal parts
    eval_until: float = 1.0  # share of the schedule they are spread over, from the least noise on
    sample_steps: int = 50  # of DDIM
    guidance: float = 7.5  # 1: the prompt alone
    features: FeatureSettings = field(default_factory=FeatureSettings)

    fields: ClassVar[tuple[str, ...]] = ("prompt", "image")
    piece: ClassVar[int] = 256
    gives: ClassVar[frozenset[str]] = frozenset({"losses", "pictures"})

    def __post_init__(self) -> None:
        need("text_to_image", "diffusers", extra="diffusion")
        within("modality.eval_steps", self.eval_steps, 1, 1000)
        within("modality.eval_until", self.eval_until, 0, 1, "(]")
        within("modality.sample_steps", self.sample_steps, 1, 1000)
        within("modality.guidance", self.guidance, 0, 100)

    # Encoding ---------------------------------------------------------------------------------

    def encoder(self, model: Mapping[str, Any]) -> dict[str, Any]:
        """The tokenizer and autoencoder, the resolution, and the network that looks at pictures."""
        place = model.get("checkpoint")
        known = folder_hash(place) if place and Path(place).exists() else place
        sizes = {name: model.get(name) for name in ("image_size", "prompt_length")}
        looks = {**tokens.identity(model), "checkpoint": known, "features": self.features.identity()}
        return {**super().encoder(model), **sizes, **looks}

    def learn(self, train: Fields, model: Mapping[str, Any], folder: Path) -> None:
        """Leave the tokenizer, the training prompts, the settings and, if it is learned, the looker."""
        texts = prompts.checked(train["prompt"])
        names = sorted(set(texts))
        settings: dict[str, Any] = {
            "checkpoint": model.get("checkpoint"),
            "length": prompts.learn(texts, model, folder),
            "image_size": model.get("image_size"),
            "features": self.features.identity(),
        }
        (folder / SETTINGS).write_text(json.dumps(settings))
        (folder / PROMPTS).write_text(json.dumps(names))
        if self.features.name == "small":
            known = {name: number for number, name in enumerate(names)}
            numbers = torch.tensor([known[text] for text in texts])
            pictures = _pictures(train["image"], settings["image_size"])
            lookers.learn(pictures, numbers, len(names), self.features, folder)

    def encode(self, rows: Fields, folder: Path) -> dict[str, Tensor]:
        """Token ids (n, L), the prompt's number (n,) among training's, -1 where new; targets.

        Where the targets are latents, also `picture` (n, 3, H, W) uint8.
        """
        settings = _read(folder, SETTINGS)
        known = {name: number for number, name in enumerate(_read(folder, PROMPTS))}
        texts = prompts.checked(rows["prompt"])
        columns = {
            "input_ids": prompts.tokenised(texts, folder, settings["length"]),
            "prompt": torch.tensor([known.get(text, -1) for text in texts]),
        }
        pictures, checkpoint = _pictures(rows["image"], settings["image_size"]), settings["checkpoint"]
        if not has_autoencoder(checkpoint):
            return {**columns, "targets": pictures}
        return {**columns, "picture": pictures, "targets": latents(pictures, checkpoint)}

    def facts(self, train: Mapping[str, Tensor], folder: Path) -> dict[str, Any]:
        """Sizes of the prompts; what looks at pictures, for the record."""
        settings, length = _read(folder, SETTINGS), train["input_ids"].shape[1]
        empty = prompts.tokenised([""], folder, length)[0].tolist()
        sizes = {"vocab_size": len(tokens.load(folder)), "length": length, "empty": empty}
        return {**sizes, "notes": {"features": settings["features"]}}

    # Models -----------------------------------------------------------------------------------

    def expects(self, model: Mapping[str, Any], facts: Mapping[str, Any]) -> PromptSpec:
        """The prompts' sizes, and where the encoder lies."""
        empty = tuple(facts["empty"])
        return PromptSpec(facts["vocab_size"], facts["length"], empty, Path(facts["encoder"]))

    def shape(self, expected: PromptSpec) -> dict[str, int]:
        """Vocabulary and tokens of a prompt, for a text encoder that is built."""
        return {"vocab_size": expected.vocab_size, "length": expected.length}

    @property
    def draws(self) -> bool:
        """True: noise is drawn."""
        return True

    def prepare(self, batch: Batch, expected: PromptSpec, generator: torch.Generator | None) -> Batch:
        """Inputs with times (B, K) in [0, 1) and noise (B, K, C, h, w): one drawn, or the fixed grid.

        Targets stay as they are: noise is laid on them in `logits`, so that they may be replaced.
        """
        count, shape, device = len(batch), batch.targets.shape[1:], batch.targets.device
        if generator is not None:
            times = torch.rand((count, 1), generator=generator)
            noise = torch.randn((count, 1, *shape), generator=generator).to(device)
        else:
            grid = (torch.arange(self.eval_steps) + 0.5) / self.eval_steps * self.eval_until
            times = grid.expand(count, -1)
            noise = denoising.fixed_noise(batch.index, (self.eval_steps, *shape)).to(device)
        return replace(batch, inputs={**batch.inputs, "times": times.to(device), "noise": noise})

    def scores(self, model: nn.Module, batch: Batch) -> Tensor:
        """Predicted minus true noise, (B, K, C, h, w), on the batch's targets."""
        return self.logits_at(model, batch, scaled(batch.targets))

    def signal(self, model: nn.Module, batch: Batch) -> Signal:
        """The pictures or latents that noise is laid on."""
        return signals.of(scaled(batch.targets))

    def logits_at(self, model: nn.Module, batch: Batch, values: Tensor) -> Tensor:
        """Predicted minus true noise, (B, K, C, h, w), on these pictures or latents."""
        given = batch.inputs
        return denoising.residual(model, values, given["noise"], given["times"], given["input_ids"])

    # Per example ------------------------------------------------------------------------------

    def losses(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Mean squared error of the predicted noise, (B,)."""
        return precise(logits).square().flatten(1).mean(1)

    def errors(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The losses, (B,): there is no other measure of being wrong."""
        return self.losses(logits, targets)

    def divergence(
        self, teacher: Tensor, student: Tensor, targets: Tensor, temperature: float = 1.0
    ) -> Tensor:
        """Mean squared difference of the predicted noises, (B,); there is nothing to heat."""
        return precise(teacher.detach() - student).square().flatten(1).mean(1)

    def draw(self, logits: Tensor, targets: Tensor, generator: torch.Generator) -> Tensor:
        """Errors (B, K, C, h, w) of predictions that are the truth but for Gaussian noise of variance n / 2.

        n is the number of values: so the negative log-likelihood is the loss, a mean of squares.
        """
        noise = torch.randn(logits.shape, generator=generator).to(logits)
        deviation = math.sqrt(logits[0].numel() / 2)
        return logits.detach() + deviation * noise

    def drawn_score(self, logits: Tensor, drawn: Tensor) -> Tensor:
        """Minus the mean square of what the errors are apart from the drawn ones, (B,)."""
        return -self.losses(logits - drawn, drawn)

    def squared_norm(self, logits: Tensor, batch: Batch) -> Tensor:
        """Squared length of the predicted noise, (B,)."""
        return super().squared_norm(logits + batch.inputs["noise"], batch)

    def penultimate(self, inputs: Tensor, batch: Batch) -> Tensor:
        """The mean (B, D) over noise levels and places of what goes into the last layer (B K, D, h, w)."""
        levels = batch.inputs["times"].shape[1]
        found: Tensor = inputs.flatten(2).mean(2).view(-1, levels, inputs.shape[1]).mean(1)
        return found

    def relabel(self, targets: Tensor, donors: Tensor, classes: int, generator: torch.Generator) -> Tensor:
        """The donors' pictures; the next donor's where a donor's is the same."""
        same = (targets == donors).flatten(1).all(1)
        return self.merge(donors, donors.roll(1, 0), same)

    # Predictions ------------------------------------------------------------------------------

    def predictions(self, logits: Tensor, batch: Batch) -> dict[str, Tensor]:
        """The number of the prompt among the training prompts: pictures are too large to keep."""
        return {"targets": batch.inputs["prompt"]}

    def generate(
        self, model: nn.Module, batch: Batch, expected: PromptSpec, generator: torch.Generator
    ) -> dict[str, Any]:
        """Paint each prompt, and look at the painted and the true pictures."""
        ids, painter, device = batch.inputs["input_ids"], _painter(model), batch.targets.device
        noise = torch.randn(batch.targets.shape, generator=generator).to(device)
        empty = torch.tensor(expected.empty, device=device)
        clip = painter.vae is None
        found = denoising.ddim(model, noise, ids, empty, self.sample_steps, self.guidance, clip)
        painted, stored = painter.pictures(found), batch.inputs.get("picture")
        true = painter.pictures(scaled(batch.targets)) if stored is None else stored.float() / 255
        texts = prompts.texts(ids, expected.encoder)
        with torch.autocast(device.type, enabled=False):
            looker = self._looker(expected.encoder, device)
            seen = looker.look(painted.float(), texts, batch.inputs["prompt"])
            of_true = looker.features(true)
        return {
            "features": seen.features,
            "true_features": of_true,
            "class_probs": seen.class_probs,
            "similarity": seen.similarity,
        }

    def _looker(self, folder: Path, device: torch.device) -> Looker:
        names, settings = _read(folder, PROMPTS), self.features
        if settings.name == "clip" and settings.checkpoint is not None:
            return lookers.clip(settings.checkpoint, tuple(names), device)
        return lookers.small(folder, len(names), device)


def _read(folder: Path, name: str) -> Any:
    return json.loads((folder / name).read_text())


def _pictures(images: Any, side: int | None) -> Tensor:
    """Encoded files as (n, 3, H, W) uint8, resized to a square where a side in pixels is given."""
    pixels = torch.from_numpy(np.ascontiguousarray(decode(images).transpose(0, 3, 1, 2)))
    if side is None or pixels.shape[-2:] == (side, side):
        return pixels
    found = F.interpolate(pixels.float(), (side, side), mode="bicubic", antialias=True)
    return found.round().clamp(0, 255).to(torch.uint8)


def _painter(model: nn.Module) -> Any:
    """The network as whatever it is: `pictures` and `vae` are its own."""
    return model
