"""The metrics of predictions, wherever these come from: which ones apply, and their values."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from mubench.errors import NotApplicable, UsageError, did_you_mean
from mubench.metrics import METRICS, Metric
from mubench.metrics.base import Cell, Outputs, Unavailable, View

Values = dict[str, float | None]
GROUPS = ("unlearned", "original", "retrained")


def check_names(names: Iterable[str]) -> None:
    """UsageError with the nearest name for one that is no metric's; "all" stands for every one."""
    for name in names:
        if name != "all" and name not in METRICS:
            raise UsageError(f"unknown metric '{name}'.{did_you_mean(name, METRICS)} (mubench ls metrics)")


def chosen(names: Iterable[str], gives: frozenset[str], attacks: Collection[str] = ()) -> list[Metric]:
    """The metrics of a run of these names, "all" for every one that applies to what the modality gives.

    UsageError with the nearest name for an unknown one or one of several runs; NotApplicable for one
    that cannot apply. `attacks` are made in this run: metrics of others are not among all.
    """
    wanted = list(names)
    check_names(wanted)
    for name in wanted:
        if name != "all" and METRICS[name].scope == "cell":
            raise UsageError(
                f"metric '{name}' compares runs of several seeds: mubench score RUN... metrics=[{name}]"
            )
        if name != "all" and METRICS[name].attack not in ("", *attacks):
            raise UsageError(
                f"metric '{name}' reads what the attack '{METRICS[name].attack}' leaves: evaluation=robust"
            )
        if name != "all" and METRICS[name].reads not in gives:
            raise NotApplicable(
                f"metric '{name}' reads {METRICS[name].reads}; this task gives {', '.join(sorted(gives))}"
            )
    return [
        m for m in METRICS.values()
        if m.name in wanted
        or ("all" in wanted and m.reads in gives and m.scope != "cell" and m.attack in ("", *attacks))
    ]  # fmt: skip


def score(
    view: View, metrics: Iterable[Metric], roles: Sequence[str] = GROUPS
) -> tuple[dict[str, Values | None], dict[str, str]]:
    """Values by role, with "relative" for pairs, and the reasons why values are null.

    `view` holds everything that there is to read; its role does not matter.
    """
    found: dict[str, Values | None] = {role: {} if role in view.models else None for role in roles}
    found["relative"] = {}
    reasons: dict[str, str] = {}
    for metric in metrics:
        for group in ("relative",) if metric.scope == "relative" else roles:
            values = found[group]
            if values is not None:
                role = "unlearned" if group == "relative" else group
                for name, value in _values(metric, replace(view, role=role)).items():
                    values[name] = value if isinstance(value, float) else None
                    if isinstance(value, str):
                        reasons[f"{group}.{name}"] = value
    return found, reasons


def score_cell(cell: Cell, metrics: Iterable[Metric]) -> tuple[Values, dict[str, str]]:
    """Values of metrics of a cell, and the reasons why values are null."""
    found = [item for metric in metrics for item in _call(metric, metric.name, cell).items()]
    return (
        {name: value if isinstance(value, float) else None for name, value in found},
        {name: value for name, value in found if isinstance(value, str)},
    )


def _values(metric: Metric, view: View) -> dict[str, float | str]:
    """A metric's numbers by name; a sentence in place of a number that cannot be computed."""
    if metric.scope != "split":
        return _call(metric, metric.name, view)
    values: dict[str, float | str] = {}
    for split, outputs in view.models[view.role].items():
        values |= _call(metric, f"{split}_{metric.name}", outputs)
    return values


def _call(metric: Metric, name: str, argument: View | Outputs | Cell) -> dict[str, float | str]:
    try:
        result = metric.function(argument)
    except Unavailable as reason:
        several = metric.scope != "split" and not isinstance(metric.goal, str)
        return dict.fromkeys((several and metric.goal) or [name], str(reason))
    values = result if isinstance(result, dict) else {name: result}
    return {
        key: float(value) if math.isfinite(value) else f"it came out as {value}"
        for key, value in values.items()
    }
