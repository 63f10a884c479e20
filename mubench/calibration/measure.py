"""The metrics of many originals and retrained models, each scored as if it were an unlearned model."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mubench import artifacts, evaluation, scoring
from mubench.calibration.figures import Readings, absolute, figures, relative
from mubench.calibration.worlds import TREATMENTS, Models, World, world
from mubench.metrics import Goal, Metric, goal_of
from mubench.scoring import Values
from mubench.shadows.store import ROLES, obtain
from mubench.workbench import Workbench


def gather(bench: Workbench) -> Models:
    """The models, found or trained."""
    return Models(
        {role: artifacts.obtain(bench, role) for role in ROLES},
        {role: obtain(bench, role) for role in ROLES},
    )


def applying(bench: Workbench) -> list[Metric]:
    """The run's metrics that can be read of predictions alone.

    Not the distances of weights: those of models from other seeds say nothing.
    """
    wanted, task = bench.config.settings.evaluation.metrics, bench.config.settings.task
    return scoring.chosen(wanted, evaluation.gives(bench.modality, task) - {"weights"})


def measure(bench: Workbench, models: Models) -> list[dict[str, Any]]:
    """For each value with a goal: its name, goal, figures, and its values by state and role."""
    found: dict[str, dict[str, Readings]] = defaultdict(dict)
    metrics = applying(bench)
    for state in TREATMENTS:
        bench.reporter.say(f"Scoring {2 * bench.config.settings.shadows} models: {state}")
        made = world(bench, models, metrics, state)
        for name, readings in {**_absolute(made, metrics), **_relative(made, metrics)}.items():
            found[name][state] = readings
    return [_row(name, states) for name, states in found.items()]


def _row(name: str, states: Mapping[str, Readings]) -> dict[str, Any]:
    values = {
        state: {role: [_known(one) for one in some.tolist()] for role, some in readings.values.items()}
        for state, readings in states.items()
    }
    return {"name": name, "goal": goal_of(name), **figures(states), "values": values}


def _known(value: float) -> float | None:
    return None if value != value else value  # NaN is no JSON


def _absolute(made: World, metrics: Sequence[Metric]) -> dict[str, Readings]:
    """Readings of metrics that each model has by itself."""
    own = [metric for metric in metrics if metric.scope != "relative"]
    found = {
        role: [_scored(made, own, role, number) for number in range(len(several))]
        for role, several in made.shadows.items()
    }
    reference = scoring.score(made.view("retrained", 0), own, ("retrained",))[0]["retrained"] or {}
    return {
        name: absolute(goal, {role: _column(of, name) for role, of in found.items()}, reference.get(name))
        for name, goal in _goals(found["original"])
    }


def _relative(made: World, metrics: Sequence[Metric]) -> dict[str, Readings]:
    """Readings of metrics that compare a model with the retrained one, by each model that it can be."""
    pairs = [metric for metric in metrics if metric.scope == "relative"]
    numbers = range(len(made.shadows["original"]))
    found = {
        role: [[_scored(made, pairs, role, one, other) for one in numbers] for other in (None, *numbers)]
        for role in made.shadows
    }
    return {
        name: relative(goal, {role: [_column(row, name) for row in rows] for role, rows in found.items()})
        for name, goal in _goals(found["original"][0])
    }


def _column(scored: Iterable[Values], name: str) -> list[float | None]:
    return [values.get(name) for values in scored]


def _goals(scored: Iterable[Values]) -> list[tuple[str, Goal]]:
    """The values that have a goal."""
    names = dict.fromkeys(name for values in scored for name in values)
    return [(name, goal) for name in names if (goal := goal_of(name)) is not None]


def _scored(
    made: World, metrics: Sequence[Metric], role: str, number: int, reference: int | None = None
) -> Values:
    """The values of one model, as an unlearned one."""
    if reference == number:
        return {}
    found, _ = scoring.score(made.view(role, number, reference), metrics, ("unlearned",))
    return {**(found["unlearned"] or {}), **(found["relative"] or {})}
