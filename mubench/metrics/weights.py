"""How far models are apart in weight space; an adapter's updates count as part of the weights."""

from __future__ import annotations

import numpy as np

from mubench.metrics.base import Distances, Goal, Unavailable, View, metric
from mubench.metrics.performance import finite


def by_layer(distances: Distances, first: str, second: str) -> dict[str, float]:
    """Euclidean distance of each layer's weights, bias and all, between two models, by its name.

    Unavailable where one of the models was not there, or weights are not finite.
    """
    pair = "-".join(sorted((first, second)))
    if pair not in distances.squared:
        raise Unavailable(f"there were no weights of the {first} and the {second} model")
    squared: dict[str, float] = {}
    for name, value in zip(distances.names, finite(distances.squared[pair], "weights"), strict=True):
        layer = name.rpartition(".")[0]
        squared[layer] = squared.get(layer, 0.0) + float(value)
    return {layer: float(np.sqrt(value)) for layer, value in squared.items()}


def total(view: View, first: str, second: str) -> float:
    """Euclidean distance of all weights; Unavailable where there are none."""
    if view.distances is None:
        raise Unavailable("the run holds no distances of weights: its models were not at hand")
    return float(np.linalg.norm(list(by_layer(view.distances, first, second).values())))


def _declare(name: str, first: str, second: str, goal: Goal | dict[str, Goal], about: str) -> None:
    def distance(view: View) -> float:
        return total(view, first, second)

    distance.__name__ = distance.__qualname__ = f"weight_distance_{name}"
    distance.__doc__ = f"""Euclidean distance of the {first} from the {second} model's weights, at least 0.

    {about} Of the weights that training moves, not of batch statistics; an adapter's updates are added to
    the weights beside which they stand. By layer in weights.safetensors (mubench show run DIR).
    """
    needs = tuple(role for role in (first, second) if role != "unlearned")
    metric(goal=goal, scope="relative", needs=needs, reads="weights")(distance)


_declare("retrained", "unlearned", "retrained", "lower", "Two trainings of other seeds are far apart, too.")
_declare("original", "unlearned", "original", {}, "How far unlearning went.")
_declare("baseline", "original", "retrained", {}, "What `weight_distance_retrained` is of no unlearning.")
