"""Networks that look at pictures for FID, inception score and similarity; never the model under test."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from mubench.errors import UsageError
from mubench.fingerprint import folder_hash
from mubench.hub import reaching
from mubench.modalities.image import normalise, processor
from mubench.schema import one_of, within

FILE = "features.safetensors"  # of the learned network, beside the tokenizer
WIDTH = 32  # channels of the learned network's first layer; twice as many features
BATCH = 64


@dataclass
class FeatureSettings:
    """Which network looks at pictures: a CLIP, or a small one learned from the training pictures."""

    name: str = "small"  # small | clip
    checkpoint: str | None = None  # of a CLIP: hub id or folder
    epochs: int = 20  # of the small one's training
    seed: int = 42

    def __post_init__(self) -> None:
        one_of("modality.features.name", self.name, ("small", "clip"))
        within("modality.features.epochs", self.epochs, 1, 1e6)
        if self.name == "clip" and self.checkpoint is None:
            raise UsageError("modality.features.checkpoint names the CLIP to use, a hub id or a folder")

    def identity(self) -> dict[str, Any]:
        """What decides the features of a picture."""
        if self.name == "small":
            return {"name": self.name, "epochs": self.epochs, "seed": self.seed}
        place = str(self.checkpoint)
        return {"name": self.name, "checkpoint": folder_hash(place) if Path(place).exists() else place}


@dataclass(frozen=True)
class Seen:
    """What a network sees in B pictures."""

    features: Tensor  # (B, D)
    class_probs: Tensor  # (B, K) over the training prompts
    similarity: Tensor  # (B,) with each picture's own prompt


class Looker(ABC):
    """A frozen network that looks at pictures (B, 3, H, W) in [0, 1]."""

    @abstractmethod
    def features(self, pictures: Tensor) -> Tensor:
        """(B, D), for the Frechet distance."""

    @abstractmethod
    def look(self, pictures: Tensor, prompts: Sequence[str], numbers: Tensor) -> Seen:
        """All that is asked of painted pictures, whose prompts have `numbers` (B,), -1 where unknown."""


class Small(Looker):
    """A classifier of the training pictures by prompt: its last hidden layer and its probabilities."""

    def __init__(self, network: nn.Sequential) -> None:
        self.network = network.eval().requires_grad_(False)

    def features(self, pictures: Tensor) -> Tensor:
        """The layer before the head, (B, 64)."""
        found: Tensor = self.network[:-1](pictures)
        return found

    def look(self, pictures: Tensor, prompts: Sequence[str], numbers: Tensor) -> Seen:
        """Similarity is the probability of the prompt, 0 for one that no training picture has."""
        features = self.features(pictures)
        probabilities = self.network[-1](features).softmax(-1)
        own = probabilities.gather(1, numbers.clamp_min(0)[:, None])[:, 0]
        return Seen(features, probabilities, torch.where(numbers < 0, 0.0, own))


class Clip(Looker):
    """A CLIP (Radford et al., 2021): image embeddings, zero-shot probabilities, cosine with the prompt."""

    def __init__(self, model: Any, tokenizer: Any, pixels: Any, prompts: Sequence[str]) -> None:
        self.model, self.tokenizer, self.pixels = model.eval().requires_grad_(False), tokenizer, pixels
        self.classes = torch.cat(
            [self._texts(prompts[at : at + BATCH]) for at in range(0, len(prompts), BATCH)]
        )

    def features(self, pictures: Tensor) -> Tensor:
        """Unnormalised image embeddings, (B, D)."""
        return _tensor(self.model.get_image_features(pixel_values=self.pixels(pictures)))

    def look(self, pictures: Tensor, prompts: Sequence[str], numbers: Tensor) -> Seen:
        """Probabilities are CLIP's own: a softmax over its scaled cosines."""
        features = self.features(pictures)
        directions = F.normalize(features, dim=-1)
        scale = self.model.logit_scale.exp()
        probabilities = (scale * directions @ self.classes.T).softmax(-1)
        return Seen(features, probabilities, (directions * self._texts(prompts)).sum(-1))

    def _texts(self, prompts: Sequence[str]) -> Tensor:
        ids = self.tokenizer(list(prompts), padding=True, truncation=True, return_tensors="pt")
        return F.normalize(_tensor(self.model.get_text_features(**ids.to(self.model.device))), dim=-1)


def _tensor(output: Any) -> Tensor:
    """The embedding that transformers gives bare or, from version 5 on, as an output's pooled part."""
    found: Tensor = output if isinstance(output, Tensor) else output.pooler_output
    return found


def network(classes: int) -> nn.Sequential:
    """A small classifier of pictures of any size, its head last."""

    def conv(inside: int, outside: int) -> list[nn.Module]:
        return [nn.Conv2d(inside, outside, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2, ceil_mode=True)]

    body = [*conv(3, WIDTH), *conv(WIDTH, 2 * WIDTH), nn.AdaptiveAvgPool2d(2), nn.Flatten()]
    return nn.Sequential(*body, nn.Linear(8 * WIDTH, 2 * WIDTH), nn.ReLU(), nn.Linear(2 * WIDTH, classes))


def learn(pictures: Tensor, numbers: Tensor, classes: int, settings: FeatureSettings, folder: Path) -> None:
    """Train the small network on pictures (N, 3, H, W) uint8 and their prompts' numbers (N,); keep it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        model = network(classes)
        optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
        for _ in range(settings.epochs):
            for rows in torch.randperm(len(pictures)).split(BATCH):
                loss = F.cross_entropy(model(pictures[rows].float() / 255), numbers[rows])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
    save_file(model.state_dict(), folder / FILE)


@lru_cache(maxsize=2)
def small(folder: Path, classes: int, device: torch.device) -> Small:
    """The network that `learn` left in a folder."""
    weights = load_file(folder / FILE)
    model = network(classes)
    model.load_state_dict(weights)
    return Small(model.to(device))


@lru_cache(maxsize=2)
def clip(checkpoint: str, prompts: tuple[str, ...], device: torch.device) -> Clip:
    """A CLIP of the hub or a folder, its classes the training prompts."""
    from transformers import AutoTokenizer, CLIPModel

    with reaching(
        f"the CLIP '{checkpoint}' from the hub or a folder", "and pass modality.features.checkpoint=PATH"
    ):
        model = CLIPModel.from_pretrained(checkpoint).float().to(device)
        tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    with torch.no_grad():
        return Clip(model, tokenizer, partial(normalise, expected=processor(checkpoint)), prompts)
