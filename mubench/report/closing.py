"""The table that closes a run: each metric of the original, retrained and unlearned model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from mubench.metrics import goal_of
from mubench.records import Record
from mubench.report.reference import doubt, layers
from mubench.report.terminal import print_whole

ARROWS = {"higher": "↑", "lower": "↓", "match": "≈"}
LEGEND = "↑ more is better, ↓ less, ≈ as the retrained model; to goal: unlearned - retrained (else original)"
# The rows of the closing table; everything else is in the record (mubench show run DIR).
HEADLINE = (
    "test_accuracy", "ood_accuracy", "retain_accuracy", "forget_accuracy", "test_micro_f1",
    "test_rougeL", "retain_rougeL", "forget_rougeL", "test_fid", "test_clip_score", "forget_clip_score",
    "forget_loss", "mia_auc", "lira_auc", "rmia_auc", "mia_efficacy", "knowledge_gap", "zrf",
    "model_utility", "forget_quality", "overall", "relearn_retain_score", "relearn_retain_loss",
    "int4_forget_score", "residual_knowledge", "mix_forget_score",
)  # fmt: skip
RELATIVE = ("avg_gap", "tow", "gap_forget_accuracy", "gap_forget_loss", "js_distance_forget", "completeness")


class Line(NamedTuple):
    """One metric of the closing table."""

    metric: str
    goal: str | None
    values: tuple[float | None, ...]  # of the original, the retrained and the unlearned model
    to_goal: float | None


def closing(record: Record, folder: Path) -> None:
    """Print a run's headline numbers, its cost and where it lies."""
    print_whole(_metrics(record))
    print_whole(LEGEND)
    print_whole(_summary(record))
    print_whole(str(folder))


def _metrics(record: Record, names: Sequence[str] = HEADLINE) -> Table:
    table = Table(title=_title(record), title_justify="left", title_style="bold")
    table.add_column("metric")
    for name in ("original", "retrained", "unlearned", "to goal"):
        table.add_column(name, justify="right")
    for line in compared(record, names):
        distance = "-" if line.to_goal is None else f"{line.to_goal:+.3f}"
        arrow = ARROWS.get(line.goal or "", "")
        table.add_row(f"{line.metric} {arrow}", *map(number, line.values), distance)
    return table


def compared(record: Record, names: Sequence[str] = HEADLINE) -> Iterator[Line]:
    """The metrics that have a value for any model, in the order of their names."""
    for name in names:
        values = [(record.metrics.get(role) or {}).get(name) for role in
                  ("original", "retrained", "unlearned")]  # fmt: skip
        if any(value is not None for value in values):
            goal = goal_of(name)
            yield Line(name, goal, tuple(values), _distance(goal, *values))


def _title(record: Record) -> str:
    key, sizes = record.key, record.forget_set
    return (
        f"{key['method']} · {key['task']} · {key['model']} · "
        f"{sizes['size']:,} of {sizes['size'] + sizes['retain']:,} forgotten"
    )


def _distance(
    goal: str | None, original: float | None, retrained: float | None, unlearned: float | None
) -> float | None:
    """How far the unlearned value is from its goal: the retrained one, or no worse than the original."""
    target = retrained if retrained is not None else (original if goal != "match" else None)
    return None if target is None or unlearned is None else unlearned - target


def _summary(record: Record) -> str:
    relative: Mapping[str, float | None] = record.metrics.get("relative") or {}
    shown = [f"{name} {number(relative.get(name))}{ARROWS.get(goal_of(name) or '', '')}"
             for name in RELATIVE if relative.get(name) is not None]  # fmt: skip
    lines = [f"against the retrained model: {', '.join(shown)}"] if shown else []
    warned = [sentence] if (sentence := doubt(relative)) else []
    return "\n".join([*lines, *warned, _cost(record)])


def _cost(record: Record) -> str:
    cost = record.cost
    text = f"unlearned in {number(cost.get('unlearn_seconds'))} s"
    if cost.get("retrain_seconds") is not None:
        text += f", retraining took {number(cost['retrain_seconds'])} s"
    ratios = [f"{number(cost['speedup'])} times as long"] if cost.get("speedup") is not None else []
    own, theirs = cost.get("flops"), cost.get("retrain_flops")
    if own and theirs:
        ratios.append(f"{number(theirs / own)} times the operations")
    return f"{text} ({', '.join(ratios)})" if ratios else text


def number(value: float | None) -> str:
    """A value in three decimals, a whole number or a power of ten; - for null."""
    if value is None:
        return "-"
    if abs(value) >= 1e7:
        return f"{value:.3g}"
    return f"{value:.3f}" if abs(value) < 100 else f"{value:,.0f}"


def everything(record: Record, folder: Path) -> None:
    """Print all of a record: every metric of every model, cost, environment, reasons."""
    console = Console(highlight=False, soft_wrap=True, markup=False)
    console.print(f"{folder}\nstatus: {record.status}{f' ({record.error})' if record.error else ''}")
    if record.complete:
        console.print(_metrics(record, list(record.metrics.get("unlearned") or {})))
    sections = {"relative": record.metrics.get("relative") or {}, "cost": record.cost,
                "forget set": record.forget_set, "data": record.data,
                "environment": record.environment, "not computed": record.reasons}  # fmt: skip
    for title, values in sections.items():
        console.print(f"\n{title}")
        for name, value in values.items():
            console.print(f"  {name:28} {number(value) if isinstance(value, float) else value}")
    if (table := layers(folder)) is not None:
        print_whole(table)
