"""Fisher forgetting: noise on the weights that D_r does not depend on (Golatkar et al., 1911.04933)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor

from mubench import gradients
from mubench.data import Batch
from mubench.methods.one_shot import OneShot, length, told
from mubench.run import Run, StreamName
from mubench.schema import within


@dataclass
class Fisher(OneShot):
    """w = w0 + sqrt(min(2 alpha / (P F), limit mean w0^2)) n, n ~ N(0, 1), F the diagonal Fisher over D_r.

    F = mean over D_r of sum_y p(y|x) (grad log p(y|x))^2 with the model's own p: per example, since the
    square of a batch's mean gradient is something else. P weights may move. The variance alpha / F and that
    it has a limit are the authors'; the units are not: there both are absolute numbers, which are right for
    one network. Here alpha is what the noise costs on D_r to second order, sum F variance / 2, if nothing is
    limited; the limit is told in the mean square of each tensor's own weights, or of all that may move
    where a tensor is 0. Unlike there, every weight has a variance of its own.

    The label is a class, a whole text or the noise of a picture. Instead of a label for every example the
    modality draws a mixture of them, whose squared gradient has the same expected value.
    """

    alpha: float = 3e-3  # cost of the noise on D_r in nats: more forgets more, and costs more accuracy
    limit: float = 0.1  # largest variance, in mean squares of a tensor: bounds what D_r does not feel
    samples: int | None = 1  # draws for each example, one backward each; null: every class by itself

    stream: ClassVar[StreamName] = "retain"
    needs: ClassVar[frozenset[str]] = frozenset({"retain"})
    source: ClassVar[tuple[str, ...]] = ("golatkar2020",)
    formula: ClassVar[str] = (
        "w = w0 + sqrt(min(2 alpha / (P F), limit mean w0^2)) n, n ~ N(0, 1), P weights, "
        "F = mean over D_r of E_y~p(y|x) (grad log p(y|x))^2"
    )
    memory: ClassVar[str] = "a copy of the weights, and 256 MiB of gradients or one example's if larger"
    estimates: ClassVar[bool] = True
    choices: ClassVar[dict[str, tuple[Any, ...]]] = {"samples": (None, 1, 2)}

    def __post_init__(self) -> None:
        within("method.alpha", self.alpha, 0, 1e6, "(]")
        within("method.limit", self.limit, 0, 1e6, "(]")
        if self.samples is not None:
            within("method.samples", self.samples, 1, 1e6)

    def edited(self, run: Run) -> Iterator[tuple[str, Tensor]]:
        """Noise on every weight, larger where D_r's likelihood is flat."""
        generator, weights = run.generator(), run.weights
        information, count = self.information(run), sum(map(Tensor.numel, weights.values()))
        overall = length(weights) ** 2 / count
        for name, weight in weights.items():
            most = self.limit * (length({name: weight}) ** 2 / weight.numel() or overall)
            variance = (2 * self.alpha / count / information[name]).clamp_max(most)
            noise = torch.randn(weight.shape, generator=generator).to(weight)
            yield name, weight.detach() + variance.sqrt() * noise

    def information(self, run: Run) -> dict[str, Tensor]:
        """F of every weight."""
        exact = self.samples is None and run.spec.classes > 0
        rounds = run.spec.classes if exact else self.samples or 1
        parts = (part for number in range(rounds) for part in self._round(run, number, exact))
        found = gradients.mean(told(run, "Fisher information", rounds * len(run.rows["retain"]), parts))
        return {name: values * rounds for name, values in found.items()} if exact else found

    def _round(self, run: Run, number: int, exact: bool) -> Iterator[dict[str, Tensor]]:
        """Gradients for the label `number` of every example, or for its number-th draw."""
        if exact:
            return run.per_example("retain", partial(_weighed, run), partial(_label, number))
        return run.per_example(
            "retain", partial(_plain, run), partial(_drawn, run, run.generator(1 + number))
        )


def _label(number: int, batch: Batch) -> Tensor:
    return torch.full_like(batch.targets, number)


def _weighed(run: Run, scores: Tensor, batch: Batch) -> Tensor:
    """sqrt(p) log p, the root a constant: the square of its gradient carries the label's weight."""
    found = run.modality.log_likelihood(scores, batch.targets)
    return (found.detach() / 2).exp() * found


def _drawn(run: Run, generator: torch.Generator, batch: Batch) -> Tensor:
    run.tally.scores(batch)
    with torch.no_grad():
        return run.modality.draw(run.logits(batch), batch.targets, generator)


def _plain(run: Run, scores: Tensor, batch: Batch) -> Tensor:
    return run.modality.drawn_score(scores, batch.targets)
