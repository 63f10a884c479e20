"""Every method on digits and on the mini tasks, as the tables in docs/grid.md.

    mubench run -m sweep=methods out=grid                    every method on digits
    mubench run -m sweep=methods 'task=glob(mini/*)' out=grid
    python scripts/grid.py out=grid                          the tables of what is there

A row is a method by its defaults, a table a task. `gap` is the distance of the forget loss to the
retrained model's; `time` is that of unlearning as a share of retraining's, preparation included.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mubench.records import Record, query

SCORES = ("accuracy", "rougeL", "clip_score")  # the first that a task has stands beside the loss
ROLES = {"original": "original", "retrained": "retrain"}  # and the methods that are these models
HEADINGS = ("method", "forget", "test", "retain", "forget loss", "gap", "MIA AUC", "time")


def main(argv: Sequence[str]) -> int:
    """Print a table for each task that has complete records."""
    out = Path(next((word.removeprefix("out=") for word in argv if word.startswith("out=")), "outputs"))
    tasks: dict[str, dict[str, Record]] = {}
    for _, record in query(out):
        if isinstance(record, Record) and record.key["method"] not in ROLES.values():
            tasks.setdefault(record.key["task"], {})[record.key["method"]] = record
    for task, records in sorted(tasks.items(), key=lambda found: (found[0].startswith("mini/"), found[0])):
        print("\n".join(table(task, records)), end="\n\n")
    return 0 if tasks else 1


def table(task: str, records: Mapping[str, Record]) -> list[str]:
    """The markdown lines of one task: the two models that methods are compared with, then the methods."""
    first = next(record for record in records.values() if record.complete)
    deleted, known = first.forget_set, first.metrics["original"] or {}
    score = next((name for name in SCORES if f"forget_{name}" in known), "loss")
    rows = [row(role, first.metrics[role], first, score) for role in ROLES]
    for name, record in sorted(records.items()):
        done = record.complete
        rows.append(row(name, record.metrics["unlearned"], record, score) if done else _failed(name, record))
    size = f"{deleted['percent']:.3g} % ({deleted['size']} examples) deleted"
    lines = [f"## {task} · {first.key['model']}", "", f"{size}; forget, test and retain are {score}.", ""]
    return [*lines, _line(HEADINGS), "|" + "---|" * len(HEADINGS), *map(_line, rows)]


def row(name: str, values: Mapping[str, Any] | None, record: Record, score: str) -> tuple[str, ...]:
    """One model's cells."""
    found, goal, cost = values or {}, record.metrics["retrained"] or {}, record.cost
    loss, wanted = found.get("forget_loss"), goal.get("forget_loss")
    gap = None if loss is None or wanted is None else abs(loss - wanted)
    share = None if name in ROLES or not cost.get("speedup") else 1 / (cost["speedup"] or 1)
    shown = [found.get(f"{split}_{score}") for split in ("forget", "test", "retain")]
    return (name, *map(_number, [*shown, loss, gap, found.get("mia_auc"), share]))


def _failed(name: str, record: Record) -> tuple[str, ...]:
    return (name, record.status, *["-"] * (len(HEADINGS) - 2))


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}" if abs(value) >= 1 else f"{value:.3f}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
