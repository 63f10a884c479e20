"""Every run as plain data: nothing that runs share is told twice."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from mubench.records import Record
from mubench.report.page.remarks import OWN, Whose
from mubench.report.reference import suppressed
from mubench.report.rows import value_of
from mubench.submissions.requirements import lacks

Runs = Sequence[tuple[Path, Record]]
SHOWN = (
    "forget_loss",
    "forget_accuracy",
    "test_accuracy",
    "retain_accuracy",
    "mia_auc",
    "tow",
)  # in the list
GROUPS = ("original", "retrained", "unlearned", "relative")
KEYS = ("task", "model", "method", "deletion", "seed", "unlearn seed")


def listed(runs: Runs, out: Path, whose: Whose) -> dict[str, Any]:
    """Every run: a row of numbers, and its details as places in a list of values that runs share."""
    pool: dict[str, int] = {}

    def place(value: Any) -> int:
        return pool.setdefault(json.dumps(value, sort_keys=True), len(pool))

    names = list(dict.fromkeys(name for _, r in runs for g in GROUPS for name in r.metrics.get(g) or {}))
    imported = any(whose(record) != OWN for _, record in runs)
    rows = [_run(folder, record, out, names, place) for folder, record in runs]
    for row, (_, record) in zip(rows, runs, strict=True):
        row["key"] += [whose(record)] if imported else []
    keys = [*KEYS, *(["group"] if imported else [])]
    return {
        "keys": keys, "names": names, "shown": SHOWN, "rows": rows,
        "pool": [json.loads(text) for text in pool],
    }  # fmt: skip


def _run(
    folder: Path, record: Record, out: Path, names: Sequence[str], place: Callable[[Any], int]
) -> dict[str, Any]:
    key, seed = record.key, record.key["seed"]
    ratio = "" if key["ratio"] is None else f"{key['ratio']:g} %"
    return {
        "key": [key["task"], key["model"], key["method"], f"{key['deletion']} {ratio}".strip(), seed["train"],
                seed["unlearn"]],
        "shown": [_rounded(value_of(record, name)) for name in SHOWN],
        "wary": place("; ".join(_wary(record))),
        "folder": str(folder.relative_to(out)) if folder.is_relative_to(out) else folder.name,
        "metrics": {group: [_rounded((record.metrics.get(group) or {}).get(name)) for name in names]
                    for group in GROUPS if record.metrics.get(group)},
        "config": {name: place(value) for name, value in record.config.items()},
        "cost": {name: _rounded(value) for name, value in record.cost.items()},
        "environment": place(record.environment), "forget_set": place(record.forget_set),
        "reasons": place(_by_reason(record)), "overrides": place(record.overrides),
        "finished": record.finished, "fingerprint": record.fingerprint,
    }  # fmt: skip


def _wary(record: Record) -> Iterator[str]:
    """What is to be known of a run, in a few words."""
    if (why := lacks(record)) is not None:
        yield why
    if names := suppressed(record.reasons):
        yield f"suppressed: {', '.join(names)}"


def _by_reason(record: Record) -> dict[str, str]:
    """Quantities without a value, those of one reason together."""
    found: dict[str, list[str]] = {}
    for name, reason in record.reasons.items():
        found.setdefault(reason, []).append(name)
    return {", ".join(names): reason for reason, names in found.items()}


def _rounded(value: Any) -> Any:
    """Six digits are more than any page shows."""
    return float(f"{value:.6g}") if isinstance(value, float) else value
