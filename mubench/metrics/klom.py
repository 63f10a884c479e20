"""KLOM: are an example's margins distributed as those of retrained models? (Georgiev et al., 2410.23232)."""

from __future__ import annotations

from typing import Literal

import numpy as np

from mubench.metrics.base import Cell, Goal, Outputs, Unavailable, metric
from mubench.metrics.performance import log_probabilities

# As the authors' code has them.
BINS = 20  # of equal width, from the smallest margin of both kinds of models to the largest
CLIP = 100.0  # margins beyond count as this much
LEAST = 1e-5  # share of the retrained models in a bin that holds unlearned ones but none of them

SPLITS = ("forget", "retain", "test")
SIMULATED = 2000  # examples that `klom_floor` is a mean over
GOAL: dict[str, Goal] = {
    name: "lower" for split in SPLITS for name in (f"klom_{split}", f"klom_{split}_p95")
}  # fmt: skip


def margins(outputs: Outputs) -> np.ndarray:
    """log p / (1 - p) of the label's probability p, (N,): its logit less the logsumexp of the others'."""
    from scipy.special import logsumexp

    scores = log_probabilities(outputs)
    label = np.arange(scores.shape[1]) == outputs.targets[:, None]
    others = logsumexp(np.where(label, -np.inf, scores), axis=1)
    return np.asarray(scores[label] - others)


def divergence(unlearned: np.ndarray, retrained: np.ndarray) -> np.ndarray:
    """KL(unlearned || retrained) of histograms (N,) in nats, from margins (models, N) of each.

    Every bin but the last is open above; the last holds the largest margin too. At most -ln LEAST.
    """
    from scipy.stats import entropy

    both = [np.clip(part, -CLIP, CLIP) for part in (unlearned, retrained)]
    low = np.minimum(*(part.min(axis=0) for part in both))
    width = np.maximum(*(part.max(axis=0) for part in both)) - low
    p, q = (_shares(part, low, np.where(width > 0, width, 1)) for part in both)
    return np.asarray(entropy(p, np.where(p > 0, np.maximum(q, LEAST), q)))


def _shares(margins: np.ndarray, low: np.ndarray, width: np.ndarray) -> np.ndarray:
    """The share of the models in each bin, (BINS, N)."""
    places = np.minimum(((margins - low) / width * BINS).astype(int), BINS - 1)
    return np.asarray((places == np.arange(BINS)[:, None, None]).mean(axis=1))


@metric(goal=GOAL, scope="cell", needs=("retrained",), source="Georgiev et al., 2410.23232")
def klom(cell: Cell) -> dict[str, float]:
    """KL of an example's margins over N unlearned models from those over N retrained ones, in nats.

    Mean and 95th percentile over D_f, D_r and test; histograms of 20 bins, as the authors'. `klom_models`
    is N. Few models fill few bins: `klom_floor` is what twice N independent models of one kind score in
    the mean if their margins are Gaussian, near which a perfect method ends; nothing scores above 11.5.
    """
    found: dict[str, float] = {}
    for split in SPLITS:
        values = divergence(_margins(cell, "unlearned", split), _margins(cell, "retrained", split))
        found |= {
            f"klom_{split}": float(values.mean()),
            f"klom_{split}_p95": float(np.percentile(values, 95)),
        }
    count = len(cell.unlearned)
    return {**found, "klom_models": float(count), "klom_floor": floor(count, cell.rng("klom"))}


def floor(models: int, rng: np.random.Generator) -> float:
    """The mean divergence between two sets of so many margins from one Gaussian, whichever it is."""
    return float(divergence(*rng.normal(size=(2, models, SIMULATED))).mean())


def _margins(cell: Cell, role: Literal["unlearned", "retrained"], split: str) -> np.ndarray:
    """Margins (models, N); Unavailable for a single model, or if they saw different examples."""
    found = cell.outputs(role, split)
    if len(found) < 2:
        raise Unavailable("a distribution of margins takes two training seeds or more")
    if any(np.any(outputs.targets != found[0].targets) for outputs in found):
        raise Unavailable(f"the {role} models were predicted on different {split} examples")
    return np.stack([margins(outputs) for outputs in found])
