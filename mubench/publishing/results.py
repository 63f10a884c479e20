"""The numbers of a model card as Markdown: metrics of all models, cost, versions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from omegaconf import OmegaConf

from mubench.metrics import metric_of
from mubench.records import Record
from mubench.report.cards import definition
from mubench.report.closing import ARROWS, LEGEND, RELATIVE, compared, number

COSTS = {  # what of a run's cost a card names
    "unlearn_seconds": "unlearning, in seconds",
    "retrain_seconds": "retraining without the forget set, in seconds",
    "speedup": "time of retraining over that of unlearning",
    "steps": "optimizer steps",
    "examples": "examples through the model",
    "flops": "floating-point operations",
    "peak_memory_bytes": "peak memory, in bytes",
    "energy_joules": "energy of the device, in joules",
    "parameters": "weights",
    "trainable_parameters": "weights that the method could move",
}

SETS = "D_f are the examples that were to be forgotten, D_r those that were not, of the training set."


def table(record: Record) -> str:
    """Headline metrics of the original, the retrained and the unlearned model, and what each is to be."""
    rows = ["| metric | original | retrained | unlearned | to goal |", "|---|--:|--:|--:|--:|"]
    for line in compared(record):
        arrow = ARROWS.get(line.goal or "", "")
        distance = "-" if line.to_goal is None else f"{line.to_goal:+.3f}"
        cells = [f"`{line.metric}` {arrow}".strip(), *map(number, line.values), distance]
        rows.append(f"| {' | '.join(cells)} |")
    relative = record.metrics.get("relative") or {}
    beside = [f"`{name}` {number(relative[name])}" for name in RELATIVE if relative.get(name) is not None]
    told = f"\n\nAgainst the retrained model: {', '.join(beside)}." if beside else ""
    meant = "\n".join(_meanings(record))
    return "\n".join(rows) + f"\n\n{LEGEND}.{told} All metrics are in `record.json`.\n\n{meant}\n\n{SETS}"


def _meanings(record: Record) -> Iterator[str]:
    """A line for each metric of the table: what it is, in the words of its own file."""
    by_metric: dict[str, list[str]] = {}
    for line in compared(record):
        if (metric := metric_of(line.metric)) is not None:
            by_metric.setdefault(definition(metric).partition("\n")[0], []).append(f"`{line.metric}`")
    yield from (f"- {', '.join(names)}: {text}" for text, names in by_metric.items())


def cost(record: Record) -> str:
    """What unlearning took, beside retraining; what was not measured is left out."""
    known = {text: record.cost.get(name) for name, text in COSTS.items()}
    rows = {text: _whole(value) for text, value in known.items() if value is not None}
    return two_columns({**rows, "device": record.environment.get("device") or "-"})


def versions(record: Record) -> str:
    """What the numbers were made with, and when."""
    named = {name: value for name, value in record.environment.items() if value is not None}
    return two_columns(
        {**named, "data": record.data.get("identity", "-"), "finished": record.finished or "-"}
    )


def two_columns(rows: Mapping[str, Any]) -> str:
    """A table of names and values."""
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items())])


def yaml(tree: Mapping[str, Any]) -> str:
    """Settings as config.yaml has them."""
    return OmegaConf.to_yaml(OmegaConf.create(dict(tree)))


def _whole(value: float) -> str:
    return f"{value:,.0f}" if isinstance(value, int) or abs(value) >= 1000 else number(value)
