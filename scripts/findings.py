"""What the runs of docs/grid.md say of two sentences in MU-Bench (arXiv 2406.14796), as in docs/findings.md.

    python scripts/findings.py out=grid

"random_label and salun are the best general methods": methods that serve every task, by their mean rank
of ToW (Zhao et al., arXiv 2406.01257), which is 1 for a model whose scores are the retrained model's:
the product over forget, retain and test of 1 - |score - retrained score|; and by how far off the losses on
the three are, as a mean of logarithms. "bad_teaching and scrub reach
random performance on the forget set": accuracies there, beside chance.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from statistics import mean

from grid import Runs, Tasks, average, by_task, complete, gap, line, row, score_of
from scipy.stats import rankdata

from mubench.records import Record
from mubench.report.closing import number
from mubench.report.rows import value_of
from mubench.search.judging import FLOOR

ASKED = ("bad_teaching", "scrub", "random_label", "salun")
SPLITS = ("forget", "retain", "test")
SHARES = ("accuracy", "rougeL")  # scores in [0, 1], of which ToW is made
NOTHING = "no unlearning"  # the row of the original model


def main(argv: Sequence[str]) -> int:
    """Print both tables; 1 if there are no records."""
    tasks = by_task(argv)
    if tasks:
        print("\n".join([*general(tasks), "", *chance(tasks)]))
    return 0 if tasks else 1


def tow(run: Record, role: str = "unlearned") -> float | None:
    """Tug of war by the score of the task, if a share; a split that the task does not have is left out."""
    if score_of(run) not in SHARES:
        return None
    gaps = [gap(run, f"{split}_{score_of(run)}", role) for split in SPLITS]
    known = [value for value in gaps if value is not None]
    return math.prod(1 - value for value in known) if known else None


def off(run: Record, role: str = "unlearned") -> float | None:
    """By how much the losses on forget, retain and test are too large or small, as a mean logarithm."""
    ways = [(value_of(run, f"{split}_loss", role), value_of(run, f"{split}_loss", "retrained"))
            for split in SPLITS]  # fmt: skip
    known = [abs(math.log((found + FLOOR) / (goal + FLOOR))) for found, goal in ways
             if found is not None and goal is not None]  # fmt: skip
    return mean(known) if known else None


def general(tasks: Tasks) -> list[str]:
    """Methods that serve every task, the best mean rank first; ToW of each task."""
    common = set.intersection(*({m for m, runs in methods.items() if complete(runs)}
                                for methods in tasks.values()))  # fmt: skip
    names = [NOTHING, *sorted(common)]
    tows = {task: [_mean(methods, name, tow) for name in names] for task, methods in tasks.items()}
    offs = [[_mean(methods, name, off) for name in names] for methods in tasks.values()]
    scored = [[-value for value in values] for values in tows.values() if not all(map(math.isinf, values))]
    ranks = [mean_ranks(scored), mean_ranks(offs)]
    rows = [
        [names[at], *(f"{rank[at]:.1f}" for rank in ranks), *(_shown(tows[task][at]) for task in tasks)]
        for at in sorted(range(len(names)), key=lambda at: ranks[0][at])
    ]
    heading = ["method", "rank by ToW", "rank by losses", *(task.removeprefix("mini/") for task in tasks)]
    return [line(heading), "|" + "---|" * len(heading), *map(line, rows)]


def _shown(value: float) -> str:
    return number(None if math.isinf(value) else value)


def mean_ranks(values: Sequence[Sequence[float]]) -> list[float]:
    """The mean over tasks of each method's rank, 1 for the smallest value, ties shared."""
    return [mean(places) for places in zip(*map(rankdata, values), strict=True)]


def _mean(methods: Mapping[str, Runs], name: str, measure: Callable[..., float | None]) -> float:
    """A measure's mean over the runs of a method, or of the original model; infinite if a run lacks it."""
    shown = next(iter(methods)) if name == NOTHING else name
    role = "original" if name == NOTHING else "unlearned"
    found = average(complete(methods[shown]), lambda run: measure(run, role))
    return math.inf if found is None else found


def chance(tasks: Tasks) -> list[str]:
    """Forget accuracy of the asked methods beside chance, on the tasks that have classes."""
    rows = [_chance(task, methods) for task, methods in tasks.items()
            if score_of(next(iter(methods.values()))[0]) == "accuracy"]  # fmt: skip
    heading = ["task", "1 / classes", "most frequent", "original", "retrained", *ASKED]
    return [line(heading), "|" + "---|" * len(heading), *rows]


def _chance(task: str, methods: Mapping[str, Runs]) -> str:
    first = next(complete(runs) for runs in methods.values() if complete(runs))
    levels = [first[0].forget_set[f"chance_{kind}"] for kind in ("uniform", "majority")]
    models = [row(role, first, "accuracy", role)[1] for role in ("original", "retrained")]
    return line([task, *map(number, levels), *models,
                 *(row(name, complete(methods.get(name, ())), "accuracy")[1] for name in ASKED)])  # fmt: skip


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
