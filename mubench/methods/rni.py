"""RNI: a fresh head, random layers under noise (Cadet et al., 2410.01276)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from mubench.methods.finetune import Finetune
from mubench.methods.renewal import distort, head_weights, renew
from mubench.run import Run
from mubench.schema import within


@dataclass
class RNI(Finetune):
    """A fresh head; each epoch noise on `noisy` of `share` random layers, only these trained; then all.

    Every epoch draws layers anew and has an optimizer of its own. A layer is a part with weights of its own;
    normalisations, whose weights are vectors, train in every epoch. The recipe's epochs are those under
    noise, `last` epochs follow.
    """

    share: float = 0.4  # of the layers, trained in an epoch
    noisy: float = 0.7  # of these, under noise: more forget more
    sigma: float = 0.04  # of the noise, in units of the weights
    last: int = 4  # epochs on all weights at the end

    source: ClassVar[tuple[str, ...]] = ("cadet2024", "triantafillou2024")
    formula: ClassVar[str] = (
        "head freshly initialised; each epoch a random `share` of the layers: w + N(0, sigma^2) on `noisy` "
        "of them, min mean CE on D_r over them; then `last` epochs of min mean CE on D_r over all weights"
    )

    def __post_init__(self) -> None:
        within("method.share", self.share, 0, 1, "(]")
        within("method.noisy", self.noisy, 0, 1)
        within("method.sigma", self.sigma, 0, 1e3)
        within("method.last", self.last, 0, 1e6)

    def unlearn(self, run: Run) -> None:
        """The fresh head, epochs under noise, epochs on everything."""
        renew(run, head_weights(run))
        found, always = layers(run)
        for epoch in range(run.recipe.epochs):
            generator = run.generator(epoch)
            chosen = self._chosen(found, generator)
            under = chosen[: round(self.noisy * len(chosen))]
            distort([run.weights[name] for layer in under for name in layer], self.sigma, generator)
            with run.only(always | {name for layer in chosen for name in layer}):
                run.fit(self.stream, lambda batch: self.loss(run, batch), 1)
        run.fit(self.stream, lambda batch: self.loss(run, batch), self.last)

    def _chosen(self, found: list[list[str]], generator: torch.Generator) -> list[list[str]]:
        """Some of the layers, in random order."""
        count = max(1, round(self.share * len(found)))
        order = torch.randperm(len(found), generator=generator).tolist()
        return [found[place] for place in order[:count]]


def layers(run: Run) -> tuple[list[list[str]], set[str]]:
    """Names of the weights that may move: by layer, in order, and those of all normalisations."""
    weights, found, always = run.weights, [], set[str]()
    for part, module in run.model.named_modules():
        own = [f"{part}.{name}".lstrip(".") for name, _ in module.named_parameters(recurse=False)]
        own = [name for name in own if name in weights]  # a weight that parts share has one name
        if own and all(weights[name].dim() < 2 for name in own):
            always |= set(own)
        elif own:
            found.append(own)
    return found, always
