"""Gaussian noise on the inputs: is D_f still recognised nearby? (Hsu et al., 2601.22359)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor, nn

from mubench.attacks.base import Attack, Target, columns, several
from mubench.data import Batch
from mubench.metrics.base import Curves
from mubench.modalities import signals
from mubench.schema import within


@dataclass
class Noise(Attack):
    """D_f under noise, measured in the spread of an example's own values, the same for every model.

    Of pixels, waves and spectra it lies on the input, of tokens on their embeddings, of pictures to paint on
    the picture. Recognised is what errors leave: the share of right classes, or of right label tokens.
    """

    sigma: list[float] = field(default_factory=lambda: [0.1, 0.2, 0.5, 1.0])
    draws: int = 4  # of noise for each example and level

    source: ClassVar[tuple[str, ...]] = ("hsu2025",)
    formula: ClassVar[str] = "P(f(x + sigma sd(x) e) = y) over D_f, e ~ N(0, 1)"

    def __post_init__(self) -> None:
        super().__post_init__()
        several("sigma", self.sigma)
        within("draws", self.draws, 1, 1e4)
        for sigma in self.sigma:
            within("sigma", sigma, 0, 1e3, "(]")

    def curves(self, target: Target) -> Curves:
        """Series `forget`: the loss, and the share `recognised` where there is a right answer, by `sigma`."""
        points = [self._point(target, 0.0, 1)]
        points += [self._point(target, sigma, self.draws) for sigma in self.sigma]
        return {"forget": columns(points)}

    @torch.no_grad()
    def _point(self, target: Target, sigma: float, draws: int) -> dict[str, float | None]:
        modality, parts = target.bench.modality, []
        for batch in target.bench.batches("forget", target.rows("forget", self.examples)):
            for draw in range(draws):
                with target.bench.engine.autocast():
                    scores = shaken(target, target.network, batch, sigma, draw)
                losses = modality.losses(scores, batch.targets)
                parts.append(torch.stack([losses, modality.errors(scores, batch.targets).to(losses)]))
        loss, wrong = torch.cat(parts, dim=1).double().mean(1).tolist()
        found: dict[str, float | None] = {"sigma": sigma, "forget_loss": finite(loss)}
        if {"classes", "tokens"} & modality.gives:
            found["recognised"] = finite(1 - wrong)
        return found


def shaken(target: Target, network: nn.Module, batch: Batch, sigma: float, draw: int) -> Tensor:
    """A network's scores of a prepared batch under noise that its rows, the seed and `draw` decide."""
    modality = target.bench.modality
    signal = modality.signal(network, batch)
    noise = signals.noise(signal.values, batch.index, target.seed, draw)
    return modality.logits_at(network, batch, signal.values + sigma * signal.deviation * noise)


def finite(value: float) -> float | None:
    """The value, None for one that JSON has no word for."""
    return value if abs(value) < float("inf") else None
