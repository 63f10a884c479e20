"""SuperLoss: easy examples count more, hard ones less (Castells et al., NeurIPS 2020)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from mubench.curricula.base import Curriculum, needs_classes
from mubench.curricula.lambert import lambert_w
from mubench.divergence import precise
from mubench.errors import UsageError
from mubench.parts.cut import whole
from mubench.schema import within

WORDS = ("mean", "log_classes")


@dataclass
class SuperLoss(Curriculum):
    """SL = (l - tau) s + lam (log s)^2 of each loss l, at the s that makes it smallest.

    s = exp(-W(max(-2/e, (l - tau) / lam) / 2)), between 0 and e; W is Lambert's. tau tells easy from hard.
    Where it is the running mean, the mean runs over all examples of the term since the training began,
    those of the present batch among them.
    """

    lam: float = 10.0  # the larger, the nearer all weights are to 1
    tau: str = "mean"  # mean: running | log_classes: log K, the cross-entropy of a guess | a number

    source: ClassVar[tuple[str, ...]] = ("castells2020",)

    def __post_init__(self) -> None:
        within("curriculum.lam", self.lam, 0, 1e9, "(]")
        if self.tau not in WORDS and not _numeric(self.tau):
            raise UsageError(f"curriculum.tau is {', '.join(WORDS)} or a number; not '{self.tau}'")
        self.begin(0)

    def check(self, gives: frozenset[str]) -> None:
        """log K is known where there are K classes."""
        if self.tau == "log_classes":
            needs_classes("curriculum.tau=log_classes", gives)

    def begin(self, classes: int) -> None:
        """No term was seen yet."""
        self._classes = classes
        self._means: dict[str, Tensor] = {}  # scalars, where the losses are
        self._counts: dict[str, int] = {}

    def reduce(self, losses: Tensor, term: str) -> Tensor:
        """The mean of SL."""
        losses = precise(losses)
        tau = self._threshold(losses.detach(), term)
        s = confidence(losses, tau, self.lam)
        return ((losses - tau) * s + self.lam * s.log().square()).mean()

    def _threshold(self, losses: Tensor, term: str) -> Tensor | float:
        if self.tau == "log_classes":
            return math.log(self._classes)
        return self._mean_with(losses, term) if self.tau == "mean" else float(self.tau)

    def _mean_with(self, losses: Tensor, term: str) -> Tensor:
        """The running mean of a term, these losses counted in, and those of the batch's other parts."""
        losses = whole(losses)
        count = self._counts.get(term, 0) + len(losses)
        before = self._means.get(term, losses.new_zeros(())).to(losses)
        self._means[term] = before + (losses - before).sum() / count
        self._counts[term] = count
        return self._means[term]

    def state_dict(self) -> dict[str, Any]:
        """The running means."""
        return {"means": dict(self._means), "counts": dict(self._counts)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The running means that a checkpoint holds."""
        self._means, self._counts = dict(state["means"]), dict(state["counts"])


def confidence(losses: Tensor, tau: Tensor | float, lam: float) -> Tensor:
    """The s (B,) of each loss (B,), a constant: SL is stationary in s, so that dSL/dl = s.

    Where max() cuts it is not stationary, but there s = e does not hang on l. The chain rule through
    W would add nothing but W' = infinity at the cut.
    """
    beta = (losses.detach() - tau) / lam
    return (-lambert_w(beta.clamp_min(-2 / math.e) / 2)).exp()


def _numeric(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
