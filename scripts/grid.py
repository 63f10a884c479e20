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

from mubench.records import Record, query
from mubench.report.closing import number
from mubench.report.table import REFERENCES, value_of

SCORES = ("accuracy", "rougeL", "clip_score")  # the first that a task has stands beside the loss
HEADINGS = ("method", "forget", "test", "retain", "forget loss", "gap", "MIA AUC", "time")


def main(argv: Sequence[str]) -> int:
    """Print a table for each task that has complete records."""
    out = Path(next((word.removeprefix("out=") for word in argv if word.startswith("out=")), "outputs"))
    tasks: dict[str, dict[str, Record]] = {}
    for _, record in query(out):
        if isinstance(record, Record) and record.key["method"] not in REFERENCES.values():
            tasks.setdefault(record.key["task"], {})[record.key["method"]] = record
    for task, records in sorted(tasks.items(), key=lambda found: (found[0].startswith("mini/"), found[0])):
        print("\n".join(table(task, records)), end="\n\n")
    return 0 if tasks else 1


def table(task: str, records: Mapping[str, Record]) -> list[str]:
    """The markdown lines of one task: the two models that methods are compared with, then the methods."""
    first = next(record for record in records.values() if record.complete)
    deleted, known = first.forget_set, first.metrics["original"] or {}
    score = next((name for name in SCORES if f"forget_{name}" in known), "loss")
    rows = [row(role, first, score, role) for role in REFERENCES]
    for name, record in sorted(records.items()):
        rows.append(row(name, record, score) if record.complete else _failed(name, record))
    size = f"{deleted['percent']:.3g} % ({deleted['size']} examples) deleted"
    lines = [f"## {task} · {first.key['model']}", "", f"{size}; forget, test and retain are {score}.", ""]
    return [*lines, _line(HEADINGS), "|" + "---|" * len(HEADINGS), *map(_line, rows)]


def row(name: str, record: Record, score: str, role: str = "unlearned") -> tuple[str, ...]:
    """One model's cells."""
    shown = [value_of(record, f"{split}_{score}", role) for split in ("forget", "test", "retain")]
    loss, goal = (value_of(record, "forget_loss", of) for of in (role, "retrained"))
    gap = None if loss is None or goal is None else abs(loss - goal)
    speedup = value_of(record, "speedup", role)
    rest = [loss, gap, value_of(record, "mia_auc", role), 1 / speedup if speedup else None]
    return (name, *map(number, [*shown, *rest]))


def _failed(name: str, record: Record) -> tuple[str, ...]:
    return (name, record.status, *["-"] * (len(HEADINGS) - 2))


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
