"""Whether a forget set tells methods apart at all: the original from the retrained model, beside noise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mubench.metrics.base import Outputs, Unavailable, View, metric
from mubench.metrics.performance import correct, losses

ROLES = ("original", "retrained")
BEYOND = 2.0  # a difference counts from twice its noise on: chance alone goes so far once in twenty
SUPPRESSED = "times the noise of"  # how reasons of ratios read that stand on too small a difference
FEWEST = 3  # models of each kind that a spread is told from; of fewer the examples' error stands in


@dataclass(frozen=True)
class Difference:
    """How far apart the original and the retrained model are in a mean over D_f, and what is noise."""

    by: float  # original - retrained; of several seeds the mean
    noise: float  # standard deviation of that difference between one original and one retrained model
    models: int  # of each kind; 1: the noise is the error of the mean over so many examples
    examples: int

    @property
    def signal(self) -> float:
        """The difference in units of its noise, at least 0."""
        return 0.0 if self.by == 0 else abs(self.by) / self.noise if self.noise else float("inf")

    def demand(self, what: str) -> None:
        """Unavailable, with both numbers, unless the difference is beyond noise."""
        if self.signal < BEYOND:
            seeds = f"over {self.models} models of each"
            told = seeds if self.models > 1 else f"over {self.examples} examples; shadows=8 measures seeds'"
            raise Unavailable(
                f"original and retrained model differ by {abs(self.by):.3g} in {what}, less than "
                f"{BEYOND:g} {SUPPRESSED} {self.noise:.3g} ({told})"
            )


def difference(view: View, measure: Callable[[Outputs], np.ndarray], least: float = 0.0) -> Difference:
    """Of a value for each example (N,), on D_f: over seeds where there are shadow models.

    Else the noise is the standard error of the mean of the paired differences: it knows nothing of what a
    training seed does to all examples alike, so it is a lower bound in practice. `least` is the smallest
    noise to believe in, in units of 1 / N.
    """
    own = [measure(view.outputs("forget", role)) for role in ROLES]
    if len(own[0]) != len(own[1]):
        raise Unavailable("original and retrained model were not predicted on the same forget examples")
    means = [
        np.array([values.mean(), *(measure(outputs).mean() for outputs in _shadows(view, role))])
        for values, role in zip(own, ROLES, strict=True)
    ]
    models, examples = min(map(len, means)), len(own[0])
    if models >= FEWEST:
        by, noise = means[0].mean() - means[1].mean(), np.sqrt(sum(part.var(ddof=1) for part in means))
    elif examples < 2:
        raise Unavailable("one example has no sampling error")
    else:
        apart, models = own[0] - own[1], 1
        by, noise = apart.mean(), apart.std(ddof=1) / np.sqrt(examples)
    return Difference(float(by), max(float(noise), least / examples), models, examples)


def _shadows(view: View, role: str) -> tuple[Outputs, ...]:
    try:
        return view.shadows(role, "forget")
    except Unavailable:
        return ()


def accuracy(view: View) -> Difference:
    """Of the accuracy on D_f; no noise is less than one example's worth."""
    return difference(view, correct, least=1.0)


@metric(goal={}, scope="relative", needs=ROLES)
def signal_forget_accuracy(view: View) -> float:
    """How far the original's accuracy on D_f is from the retrained model's, in units of noise.

    |a_o - a_r| over the standard deviation that training seeds give it; below 2 this forget set tells
    no method from doing nothing by its accuracy. Without shadow models the noise is the sampling error
    over D_f, of which training seeds make more.
    """
    return accuracy(view).signal


@metric(goal={}, scope="relative", needs=ROLES, reads="losses")
def signal_forget_loss(view: View) -> float:
    """How far the original's loss on D_f is from the retrained model's, in units of noise.

    As `signal_forget_accuracy`; losses tell models apart where accuracies are all 1.
    """
    return difference(view, losses).signal


@metric(goal={}, scope="relative", needs=ROLES, reads="losses")
def signal_models(view: View) -> float:
    """Originals, and as many retrained models, whose spread is the noise; 1: the sampling error is."""
    return float(difference(view, losses).models)
