"""Metrics: pure functions of stored predictions. A new module here is found without being named."""

from importlib import import_module
from pkgutil import iter_modules

from mubench.metrics.base import METRICS, Goal, Metric

for _module in sorted(item.name for item in iter_modules(__path__)):
    import_module(f"{__name__}.{_module}")

SPLITS = ("test", "validation", "forget", "retain", "ood", "real_authors", "world_facts")

__all__ = ["METRICS", "Goal", "Metric", "goal_of"]


def goal_of(value: str) -> Goal | None:
    """The goal of a recorded value such as 'forget_accuracy'; None where it is information only."""
    for metric in METRICS.values():
        if value == metric.name and isinstance(metric.goal, str):
            return metric.goal
        if metric.scope == "split" and value.endswith(f"_{metric.name}"):
            split = value.removesuffix(f"_{metric.name}")
            if split in SPLITS:
                return metric.goal if isinstance(metric.goal, str) else metric.goal.get(split)
        elif not isinstance(metric.goal, str) and value in metric.goal:
            return metric.goal[value]
    return None
