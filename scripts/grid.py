"""Every method on digits and on the mini tasks, as the tables in docs/grid.md.

    mubench run -m sweep=methods out=grid                    every method on digits
    mubench run -m sweep=methods 'task=glob(mini/*)' out=grid
    python scripts/grid.py out=grid                          the tables of what is there

A row is a method by its defaults, a table a task; where runs differ in seeds, their mean. `gap` is the
distance of the forget loss to the retrained model's, a run at a time; `time` is that of unlearning as a share
of retraining's, preparation included.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import mean

from mubench.index import query
from mubench.records import Record
from mubench.report.closing import number
from mubench.report.rows import REFERENCES, value_of

SCORES = ("accuracy", "rougeL", "clip_score")  # the first that a task has stands beside the loss
HEADINGS = ("method", "forget", "test", "retain", "forget loss", "gap", "MIA AUC", "time")
Runs = Sequence[Record]  # of one task and method, one a seed
Tasks = Mapping[str, Mapping[str, Runs]]  # by task, then by method


def main(argv: Sequence[str]) -> int:
    """Print a table for each task that has complete records."""
    tasks = by_task(argv)
    for task, methods in tasks.items():
        print("\n".join(table(task, methods)), end="\n\n")
    return 0 if tasks else 1


def by_task(argv: Sequence[str]) -> Tasks:
    """The records below `out=`, digits first; of runs that were repeated with other settings the newest."""
    out = Path(next((word.removeprefix("out=") for word in argv if word.startswith("out=")), "outputs"))
    found: dict[str, dict[str, dict[str, Record]]] = {}
    records = [record for _, record in query(out) if isinstance(record, Record)]
    for record in sorted(records, key=lambda record: record.finished or ""):
        if record.key["method"] not in REFERENCES.values():
            seeds = found.setdefault(record.key["task"], {}).setdefault(record.key["method"], {})
            seeds[str(record.key["seed"])] = record
    return {
        task: {method: list(seeds.values()) for method, seeds in sorted(methods.items())}
        for task, methods in sorted(found.items(), key=lambda item: (item[0].startswith("mini/"), item[0]))
    }


def table(task: str, methods: Mapping[str, Runs]) -> list[str]:
    """The markdown lines of one task: the two models that methods are compared with, then the methods."""
    longest = max(methods.values(), key=lambda runs: len(complete(runs)))
    first, score = longest[0], score_of(longest[0])
    rows = [row(role, complete(longest), score, role) for role in REFERENCES]
    rows += [row(name, complete(runs), score) if complete(runs) else failed(name, runs)
             for name, runs in methods.items()]  # fmt: skip
    seeds = f"mean of {len(longest)} training seeds" if len(longest) > 1 else "one seed"
    deleted = f"{first.forget_set['percent']:.3g} % ({first.forget_set['size']} examples) deleted"
    lines = [f"## {task} · {first.key['model']}", "", f"{deleted}; {seeds}; scores are {score}.", ""]
    return [*lines, line(HEADINGS), "|" + "---|" * len(HEADINGS), *map(line, rows)]


def complete(runs: Runs) -> list[Record]:
    """Those that came to an end."""
    return [record for record in runs if record.complete]


def score_of(record: Record) -> str:
    """The score that a task has."""
    known = record.metrics.get("original") or {}
    return next((name for name in SCORES if f"forget_{name}" in known), "loss")


def row(name: str, runs: Runs, score: str, role: str = "unlearned") -> tuple[str, ...]:
    """One model's cells."""
    cells: list[Callable[[Record], float | None]] = [
        *(lambda run, split=split: value_of(run, f"{split}_{score}", role)
          for split in ("forget", "test", "retain")),
        lambda run: value_of(run, "forget_loss", role),
        lambda run: gap(run, "forget_loss", role),
        lambda run: value_of(run, "mia_auc", role),
        lambda run: inverse(value_of(run, "speedup", role)),
    ]  # fmt: skip
    return (name, *(number(average(runs, cell)) for cell in cells))


def average(runs: Runs, cell: Callable[[Record], float | None]) -> float | None:
    """The mean over runs; None where one of them has no such number."""
    values = [cell(run) for run in runs]
    known = [value for value in values if value is not None]
    return mean(known) if known and len(known) == len(values) else None


def gap(run: Record, name: str, role: str = "unlearned") -> float | None:
    """How far a value lies from the retrained model's."""
    value, goal = value_of(run, name, role), value_of(run, name, "retrained")
    return None if value is None or goal is None else abs(value - goal)


def inverse(value: float | None) -> float | None:
    """A ratio the other way round."""
    return 1 / value if value else None


def failed(name: str, runs: Runs) -> tuple[str, ...]:
    """The row of a method without a complete run: what became of it."""
    return (name, runs[0].status, *["-"] * (len(HEADINGS) - 2))


def line(cells: Sequence[str]) -> str:
    """A row of a markdown table."""
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
