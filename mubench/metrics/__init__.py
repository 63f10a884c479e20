"""Metrics: pure functions of stored predictions. A new module here is found without being named.

So are those of other installed packages, by the entry point group `mubench.metrics`.
"""

from importlib import import_module
from importlib.metadata import entry_points
from pkgutil import iter_modules

from mubench.errors import UsageError
from mubench.metrics.base import METRICS, Goal, Metric

for _module in sorted(item.name for item in iter_modules(__path__)):
    import_module(f"{__name__}.{_module}")
for _point in entry_points(group=__name__):
    try:
        _point.load()
    except Exception as _error:
        raise UsageError(f"the installed metrics {_point.value} cannot be imported: {_error}") from _error

SPLITS = ("test", "validation", "forget", "retain", "ood", "real_authors", "world_facts")

__all__ = ["METRICS", "Goal", "Metric", "goal_of", "metric_of"]


def metric_of(value: str) -> Metric | None:
    """The metric that a recorded value such as 'forget_accuracy' belongs to."""
    return next((metric for metric in METRICS.values() if _gives(metric, value)), None)


def _gives(metric: Metric, value: str) -> bool:
    if metric.scope == "split" and value.endswith(f"_{metric.name}"):
        return value.removesuffix(f"_{metric.name}") in SPLITS
    return value == metric.name if isinstance(metric.goal, str) else value in metric.goal


def goal_of(value: str) -> Goal | None:
    """The goal of a recorded value; None where it is information only."""
    metric = metric_of(value)
    if metric is None:
        return None
    if isinstance(metric.goal, str):
        return metric.goal
    split = value.removesuffix(f"_{metric.name}")
    return metric.goal.get(split if metric.scope == "split" else value)
