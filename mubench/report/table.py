"""Records as tables: a cell is the mean over runs that differ in seeds only, and their spread."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Any

from rich.table import Table

from mubench.errors import UsageError, did_you_mean
from mubench.metrics import goal_of
from mubench.records import Record
from mubench.report.closing import ARROWS, number, print_whole

COLUMNS = (
    "test_accuracy", "retain_accuracy", "forget_accuracy", "test_rougeL", "retain_rougeL", "forget_rougeL",
    "test_fid", "test_clip_score", "forget_clip_score", "test_loss", "forget_loss", "mia_auc", "avg_gap",
    "tow", "unlearn_seconds", "speedup",
)  # fmt: skip
REFERENCES = {"original": "original", "retrained": "retrain"}  # roles, and the methods whose rows show them
Proven = Sequence[Mapping[str, Any]]  # settings of methods that passed `mubench verify`
MARK = " ✓"  # behind the name of a method that passed `mubench verify`
LEGEND = "✓ the method's code and settings, as they are now, passed every check of mubench verify"
SHARED = ("task", "modality", "model", "training")  # what decides original and retrained models


@dataclass(frozen=True)
class Row:
    """Runs that differ in seeds only, and which model's numbers of them are shown."""

    records: tuple[Record, ...]
    role: str = "unlearned"


@dataclass(frozen=True)
class Cell:
    """One value over the seeds of a cell."""

    values: tuple[float, ...]

    def __str__(self) -> str:
        """Mean, ± standard deviation over the seeds where there are several; - for none."""
        if not self.values:
            return "-"
        if len(self.values) == 1:
            return number(self.values[0])
        return f"{number(mean(self.values))} ±{number(stdev(self.values))}"

    def as_json(self) -> dict[str, float | int | None]:
        """Mean, standard deviation and number of runs."""
        several = len(self.values) > 1
        return {
            "mean": mean(self.values) if self.values else None,
            "sd": stdev(self.values) if several else None,
            "n": len(self.values),
        }


def value_of(record: Record, name: str, role: str = "unlearned") -> float | None:
    """A number of a run's model; of the unlearned one also those of its pair and of its cost."""
    groups = [record.metrics.get(role) or {}]
    if role == "unlearned":
        groups += [record.metrics.get("relative") or {}, record.cost]
    return next((values[name] for values in groups if name in values), None)


def group(records: Iterable[Record]) -> dict[tuple[Any, ...], dict[str, Row]]:
    """Records by (task, model, deletion, ratio), then by row: the method, and what else sets it apart.

    The original and the retrained model that the runs share have rows too.
    """
    tables: dict[tuple[Any, ...], dict[str, list[Record]]] = defaultdict(lambda: defaultdict(list))
    for record in records:
        key = record.key
        place = (key["task"], key["model"], key["deletion"], key["ratio"])
        tables[place][key["method"]].append(record)
    return {
        place: {**_references(rows), **_variants(rows)}
        for place, rows in sorted(tables.items(), key=lambda t: _order(t[0]))
    }


def _references(rows: dict[str, list[Record]]) -> dict[str, Row]:
    """The original and the retrained model, once for each of their seeds; none if runs do not share them."""
    records = [record for several in rows.values() for record in several]
    if len({json.dumps([r.config.get(name) for name in SHARED], sort_keys=True) for r in records}) > 1:
        return {}
    found = {}
    for role, method in REFERENCES.items():
        apart = {json.dumps([r.key["seed"].get(level) for level in ("train", "forget")]): r
                 for r in records if r.metrics.get(role)}  # fmt: skip
        if apart and method not in rows:
            found[role] = Row(tuple(apart.values()), role)
    return found


def _order(place: tuple[Any, ...]) -> tuple[Any, ...]:
    """Ratios by size, deletions without one first."""
    *names, ratio = place
    return (*names, -1.0 if ratio is None else ratio)


def _variants(rows: dict[str, list[Record]]) -> dict[str, Row]:
    """Rows whose runs differ in more than seeds are told apart by the settings in which they do."""
    found: dict[str, Row] = {}
    for method, records in rows.items():
        kinds: dict[str, list[Record]] = defaultdict(list)
        for record in records:
            kinds[_settings(record)].append(record)
        for records_of_kind in kinds.values():
            label = method if len(kinds) == 1 else f"{method} {_typed(records_of_kind[0])}".strip()
            label = label if label not in found else f"{label} #{records_of_kind[0].fingerprint[:8]}"
            found[label] = Row(tuple(records_of_kind))
    first = {name: place for place, name in enumerate(REFERENCES.values())}
    return dict(sorted(found.items(), key=lambda row: (first.get(row[0], len(first)), row[0])))


def _settings(record: Record) -> str:
    """What must be equal for runs to be averaged: everything in the config but seeds and places."""
    skip = ("seed", "out", "force", "save_model", "trainer")
    return json.dumps({k: v for k, v in record.config.items() if k not in skip}, sort_keys=True)


def _typed(record: Record) -> str:
    """The typed overrides that set a run apart."""
    known = ("task=", "model=", "method=", "deletion", "seed", "out=", "force", "save_model")
    return " ".join(text for text in record.overrides if not text.startswith(known))


def check_columns(records: Sequence[Record], metrics: Sequence[str] | None) -> None:
    """UsageError with the nearest name for a metric that no record has."""
    known = {name for r in records for part in (*r.metrics.values(), r.cost) for name in part or {}}
    for name in metrics or ():
        if name not in known:
            hint = did_you_mean(name, known)
            raise UsageError(f"no record has the metric '{name}'.{hint} (mubench ls metrics)")


def cells(rows: dict[str, Row], columns: Sequence[str]) -> dict[str, dict[str, Cell]]:
    """{row: {column: Cell}}; values that are null are left out of the mean."""
    return {
        label: {name: Cell(tuple(v for r in row.records if (v := value_of(r, name, row.role)) is not None))
                for name in columns}
        for label, row in rows.items()
    }  # fmt: skip


def _columns(rows: dict[str, Row], metrics: Sequence[str] | None) -> list[str]:
    """The columns asked for, or the usual ones that have a value in this table."""
    if metrics:
        return list(metrics)
    shown = cells(rows, COLUMNS)
    return [name for name in COLUMNS if any(values[name].values for values in shown.values())]


def print_tables(records: Sequence[Record], metrics: Sequence[str] | None, proven: Proven = ()) -> None:
    """One table for each task, model and deletion; methods with the settings in `proven` are marked."""
    check_columns(records, metrics)
    marked = False
    for (task, model, deletion, ratio), rows in group(records).items():
        columns = _columns(rows, metrics)
        deleted = deletion if ratio is None else f"{deletion} {ratio:g} %"
        table = Table(title=f"{task} · {model} · {deleted}", title_justify="left")
        table.add_column("method")
        table.add_column("n", justify="right")
        for name in columns:
            title = f"{name} {ARROWS.get(goal_of(name) or '', '')}".strip().replace("_", "\n")
            table.add_column(title, justify="right", no_wrap=True)
        for label, values in cells(rows, columns).items():
            mark = MARK if _verified(rows[label], proven) else ""
            marked = marked or bool(mark)
            count = str(len(rows[label].records))
            table.add_row(f"{label}{mark}", count, *(str(cell) for cell in values.values()))
        print_whole(table)
    if marked:
        print_whole(LEGEND)


def _verified(row: Row, proven: Proven) -> bool:
    """Whether the method of every run of a row passed the checks, with the run's settings."""
    return row.role == "unlearned" and all(record.config.get("method") in proven for record in row.records)


def print_json(records: Sequence[Record], metrics: Sequence[str] | None, proven: Proven = ()) -> None:
    """The same as a list of objects."""
    check_columns(records, metrics)
    listed = [
        {
            **dict(zip(("task", "model", "deletion", "ratio"), place, strict=True)),
            "method": label,
            "runs": len(rows[label].records),
            "verified": _verified(rows[label], proven),
            "values": {name: cell.as_json() for name, cell in values.items()},
        }
        for place, rows in group(records).items()
        for label, values in cells(rows, _columns(rows, metrics)).items()
    ]
    print(json.dumps(listed, indent=1))
