"""What W&B shows of a run: names, config, numbers and rows of tables, from its record alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mubench.config import IRRELEVANT, without
from mubench.records import FILES, Record
from mubench.report.closing import compared

CLOSING = ("metric", "goal", "original", "retrained", "unlearned", "to goal")
CURVES = ("model", "attack", "point", "series", "value")
DESCRIBED = ("config.yaml", "overrides.yaml", "record.json")  # of an artifact, beside what the record seals
Row = list[str | float | None]


def run_id(record: Record) -> str:
    """The W&B run of a run: the same whenever it is resumed or repeated, and wherever."""
    return record.fingerprint[:32]


def title(record: Record) -> str:
    """How W&B lists it."""
    return f"{record.key['method']} {_deleted(record)} seed{record.key['seed']['unlearn']}"


def cell(record: Record) -> str:
    """The group of runs that differ in seeds only."""
    key = record.key
    return "/".join((key["task"], key["model"], key["method"], _deleted(record)))


def tags(record: Record) -> list[str]:
    """What runs are filtered by."""
    key = record.key
    return [key["task"], key["model"], key["method"], _deleted(record)]


def _deleted(record: Record) -> str:
    name, ratio = record.key["deletion"], record.key["ratio"]
    return name if ratio is None else f"{name}-{ratio:g}"


def config(record: Record) -> dict[str, Any]:
    """What decides the numbers: no folder of this machine that the numbers do not hang on."""
    return without(record.config, IRRELEVANT)


def facts(record: Record) -> dict[str, Any]:
    """What the run found out about itself while it worked."""
    return {"forget_set": record.forget_set, "data": record.data, "environment": record.environment}


def epoch(line: Mapping[str, Any]) -> dict[str, Any]:
    """A line of history by the names of its curves: original/loss over original/epoch."""
    return {f"{line['stage']}/{name}": value for name, value in line.items() if name != "stage"}


def summary(record: Record) -> dict[str, Any]:
    """The final numbers, flat; those that could not be computed are left out."""
    groups: dict[str, Mapping[str, Any] | None] = {**record.metrics, "cost": record.cost}
    numbers = {
        f"{group}/{name}": value
        for group, values in groups.items()
        for name, value in (values or {}).items()
        if value is not None
    }
    return {"status": record.status, **({"error": record.error} if record.error else {}), **numbers}


def closing(record: Record) -> list[Row]:
    """The rows of the table that closes a run."""
    return [[line.metric, line.goal, *line.values, line.to_goal] for line in compared(record)]


def curves(found: Mapping[str, Mapping[str, Any]]) -> list[Row]:
    """What attacks left, a row for each number: model, attack, which point of the series, series, value."""
    return [
        [role, attack, point, name, value]
        for role, attacks in found.items()
        for attack, series in attacks.items()
        for name, values in series.items()
        if not isinstance(values, str)
        for point, value in enumerate(values)
    ]


def files(record: Record, folder: Path) -> Iterator[str]:
    """Names of the run's files for an artifact; its weights only if they were asked for."""
    for name in (*DESCRIBED, *FILES):
        wanted = record.config.get("save_model") or not name.startswith("model/")
        if wanted and (folder / name).is_file():
            yield name
