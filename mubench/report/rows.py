"""Records as rows: a row's runs differ in seeds only, a table's rows share task, model and deletion."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from mubench.config import IRRELEVANT, without
from mubench.metrics import Goal, goal_of
from mubench.records import Outline, Record
from mubench.report.places import Place, order, place_of
from mubench.statistics.seeds import Seeds, Values

REFERENCES = {"original": "original", "retrained": "retrain"}  # roles, and the methods whose rows show them
COSTS: dict[str, Goal] = {
    "unlearn_seconds": "lower", "flops": "lower", "energy_joules": "lower", "peak_memory_bytes": "lower",
    "speedup": "higher",
}  # fmt: skip

Proven = Callable[[Record | Outline], bool]  # whether a run's method passed `mubench verify`


def nobody(_: Record | Outline) -> bool:
    """Where nothing is known of checks."""
    return False


@dataclass(frozen=True)
class Row:
    """Runs that differ in seeds only, and which model's numbers of them are shown."""

    records: tuple[Record, ...]
    role: str = "unlearned"

    @property
    def competes(self) -> bool:
        """Whether it is a method's row, not that of a model which methods are held against."""
        return self.role == "unlearned" and self.records[0].key["method"] not in REFERENCES.values()

    def values(self, name: str) -> Values:
        """A quantity by (seed.train, forget set, seed.unlearn, seed.eval); runs without it are left out."""
        found: dict[Seeds, float] = {}
        for seeds, record in zip(self._seeds, self.records, strict=True):
            value = value_of(record, name, self.role)
            if value is not None:
                found.setdefault(seeds, value)
        return found

    @property
    def runs(self) -> int:
        """Runs, or for a shared model its evaluations: those of one set of seeds count once."""
        return len(set(self._seeds))

    def scores(self, name: str, goal: Goal, values: Values) -> Values:
        """The values, turned so that more is better: of `match` minus the distance to the retrained model."""
        if goal != "match":
            return values if goal == "higher" else {seeds: -value for seeds, value in values.items()}
        there = (value_of(record, name, "retrained") for record in self.records)
        target = dict(zip(self._seeds, there, strict=True))
        return {s: -abs(value - goes_to) for s, value in values.items() if (goes_to := target[s]) is not None}

    @cached_property
    def _seeds(self) -> list[Seeds]:
        """Each record's seeds; a shared model has none of unlearning."""
        own = self.role == "unlearned"
        told = ((record.key["seed"], record.forget_set["sha256"]) for record in self.records)
        return [(at["train"], forget, at["unlearn"] if own else None, at["eval"]) for at, forget in told]


def verified(row: Row, proven: Proven) -> bool:
    """Whether the method of every run of a row passed the checks, with the run's settings."""
    return row.role == "unlearned" and all(map(proven, row.records))


def value_of(record: Record, name: str, role: str = "unlearned") -> float | None:
    """A number of a run's model; of the unlearned one also those of its pair and of its cost."""
    values: Mapping[str, Any] = record.metrics.get(role) or {}
    if role == "unlearned" and name not in values:
        values = record.metrics.get("relative") or {}
        values = values if name in values else record.cost
    value = values.get(name)
    return value if isinstance(value, (int, float)) and math.isfinite(value) else None


def reason_of(row: Row, name: str) -> str | None:
    """Why a quantity is null, as the first record tells that does."""
    parts = (row.role, "relative", "cost") if row.role == "unlearned" else (row.role,)
    told = (r.reasons.get(f"{part}.{name}") for r in row.records for part in parts)
    return next((reason for reason in told if reason is not None), None)


def aim(name: str) -> Goal | None:
    """The goal of a metric or cost; None where it is information only."""
    return goal_of(name) or COSTS.get(name)


def group(records: Iterable[Record]) -> dict[Place, dict[str, Row]]:
    """Records by table, then by row: the method, and what else sets it apart.

    The original and the retrained model that the runs share have rows too.
    """
    tables: dict[Place, dict[str, list[Record]]] = defaultdict(lambda: defaultdict(list))
    for record in records:
        tables[place_of(record.key)][record.key["method"]].append(record)
    return {
        place: {**_references(rows), **_variants(rows)}
        for place, rows in sorted(tables.items(), key=lambda table: order(table[0]))
    }


def _references(rows: dict[str, list[Record]]) -> dict[str, Row]:
    """The original and the retrained model, of which every run of theirs tells the same."""
    records = [record for several in rows.values() for record in several]
    found = {}
    for role, method in REFERENCES.items():
        telling = tuple(record for record in records if record.metrics.get(role))
        if telling and method not in rows:
            found[role] = Row(telling, role)
    return found


def _variants(rows: dict[str, list[Record]]) -> dict[str, Row]:
    """Rows whose runs differ in more than seeds are told apart by the settings in which they do."""
    found: dict[str, Row] = {}
    texts: dict[tuple[tuple[str, int], ...], str] = {}
    for method, records in rows.items():
        kinds: dict[str, list[Record]] = defaultdict(list)
        for record in records:
            same = tuple((name, id(part)) for name, part in record.config.items() if name != "seed")
            texts[same] = texts.get(same) or _settings(record)  # records of the index share equal parts
            kinds[texts[same]].append(record)
        for records_of_kind in kinds.values():
            label = method if len(kinds) == 1 else f"{method} {_typed(records_of_kind[0])}".strip()
            label = label if label not in found else f"{label} #{records_of_kind[0].fingerprint[:8]}"
            found[label] = Row(tuple(records_of_kind))
    first = {name: place for place, name in enumerate(REFERENCES.values())}
    return dict(sorted(found.items(), key=lambda row: (first.get(row[0], len(first)), row[0])))


def _settings(record: Record) -> str:
    """What must be equal for runs to be averaged: all that can change the numbers, but seeds."""
    return json.dumps(without(record.config, (*IRRELEVANT, "seed")), sort_keys=True)


def _typed(record: Record) -> str:
    """The typed overrides that set a run apart."""
    known = ("task=", "model=", "method=", "deletion", "seed", "out=", "force", "save_model", "tracking")
    return " ".join(text for text in record.overrides if not text.startswith(known))
