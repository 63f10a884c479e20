"""JiT: scores that hardly change where the inputs of D_f are shaken (Foster et al., 2402.01401)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from mubench.data import Batch
from mubench.methods.base import Method
from mubench.run import Run
from mubench.schema import within


@dataclass
class JiT(Method):
    """min mean |f(x) - f(x + e)| / |e| on D_f, e ~ N(0, sigma^2): a smooth function memorises nothing.

    x is what the network computes on: pixels, waves, the embeddings of a text's tokens. Sigma counts in
    deviations of the example's own values; the norm of e runs over these values, that of f over scores.
    """

    sigma: float = 0.5  # of the noise: less looks closer around x
    samples: int = 5  # noises a step (25 in the paper); more are steadier and cost a forward each

    families: ClassVar[frozenset[str]] = frozenset({"any"})
    source: ClassVar[tuple[str, ...]] = ("foster2024jit",)
    formula: ClassVar[str] = "min mean |f(x) - f(x + e)| / |e| on D_f, e ~ N(0, sigma^2)"
    trial: ClassVar[Mapping[str, Any]] = {"samples": 2}
    memory: ClassVar[str] = "activations of every sample's forward"
    softmax: ClassVar[bool] = False
    additive: ClassVar[bool] = False  # each batch has noise of its own

    def __post_init__(self) -> None:
        within("method.sigma", self.sigma, 0, 1e3, "(]")
        within("method.samples", self.samples, 1, 1e4)

    def loss(self, run: Run, batch: Batch) -> Tensor:  # type: ignore[override]
        """The mean over the samples of the slope between an input and a shaken one."""
        # Other noise for each batch, wherever a resumed training comes from.
        number = run.epoch * len(run.columns["train"]) + int(batch.index[0])
        generator = run.generator(1 + number)
        still = run.logits(batch)
        slopes = [self._slope(run, batch, still, generator) for _ in range(self.samples)]
        return run.reduce(torch.stack(slopes).mean(0), "forget")

    def _slope(self, run: Run, batch: Batch, still: Tensor, generator: torch.Generator) -> Tensor:
        signal = run.modality.signal(run.model, batch)
        draw = torch.randn(signal.values.shape, generator=generator).to(signal.deviation)
        noise = self.sigma * signal.deviation * draw
        shaken = run.modality.logits_at(run.model, batch, signal.values + noise)
        size: Tensor = torch.linalg.vector_norm(noise.flatten(1), dim=1)
        # An example of one value only, such as a black picture, has no deviation: it is not shaken.
        return run.modality.distance(still, shaken, batch.targets) / size.clamp_min(1e-12)
