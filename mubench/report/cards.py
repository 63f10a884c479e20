"""What a metric declares, in words: for `mubench ls`, `mubench show` and docs/metrics.md."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import cleandoc

from mubench.metrics import Metric
from mubench.report.closing import ARROWS

LETTERS = {"original": "O", "retrained": "R", "shadows": "S", "incompetent": "I", "cell": "C", "attack": "A"}
NEEDS = {
    "original": "the original model",
    "retrained": "a retrained model",
    "shadows": "shadow models (shadows=8)",
    "incompetent": "an untrained model, made on the spot",
    "cell": "runs of several training seeds (mubench score)",
    "attack": "an attack (evaluation=robust)",
}
CALLED = {
    "split": "for each model and split, as <split>_{name}",
    "model": "for each model",
    "relative": "once, of the unlearned model beside others",
    "cell": "once, over runs that differ in seeds only",
}
READS = {
    "losses": "losses", "classes": "class scores", "tokens": "probabilities of label tokens",
    "alternatives": "probabilities of other answers", "texts": "texts that models write",
    "pictures": "pictures that models paint", "positives": "a class that means none of the others",
    "gradients": "norms of gradients", "penultimate": "penultimate features",
    "weights": "distances of weights",
}  # fmt: skip


def demands(metric: Metric) -> list[str]:
    """What it needs beside the model itself, as keys of NEEDS."""
    asked = metric.needs | ({"cell"} if metric.scope == "cell" else set())
    asked |= {"attack"} if metric.attack else set()
    return [need for need in NEEDS if need in asked]


def arrows(metric: Metric) -> str:
    """The goals of its values, each once."""
    goals = [metric.goal] if isinstance(metric.goal, str) else list(metric.goal.values())
    return "".join(arrow for goal, arrow in ARROWS.items() if goal in goals) or "-"


def goals(metric: Metric) -> str:
    """The goal of each of its values, those alike together; other values are information."""
    if isinstance(metric.goal, str):
        return f"{ARROWS[metric.goal]} {_word(metric.goal)}"
    told = [f"{ARROWS[goal]} {_word(goal)}: {', '.join(_of(metric.goal, goal))}" for goal in ARROWS
            if goal in metric.goal.values()]  # fmt: skip
    return "; ".join(told) or "none: it is information"


def _of(mapping: Mapping[str, str], goal: str) -> list[str]:
    return [name for name, one in mapping.items() if one == goal]


def _word(goal: str) -> str:
    return "as the retrained model, chance where there is none" if goal == "match" else goal


def card(metric: Metric) -> dict[str, str]:
    """Label and text of what it declares."""
    return {
        "goal": goals(metric),
        "computed": CALLED[metric.scope].format(name=metric.name),
        "reads": READS[metric.reads],
        "needs": ", ".join(NEEDS[need] for need in demands(metric)) or "-",
        "source": metric.source or "-",
    }


def definition(metric: Metric) -> str:
    """Its docstring, with the summary as the first line."""
    return cleandoc(metric.function.__doc__ or "")
