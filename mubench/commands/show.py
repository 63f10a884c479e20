"""usage: mubench show KIND NAME [--config-dir DIR]

One thing in full: its description, settings with their defaults, and facts.
KIND is task, model, method, deletion, optimizer, sweep, metric or run (a run's directory).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mubench import catalog
from mubench.commands import arguments
from mubench.errors import UsageError, did_you_mean

KINDS = ("task", "model", "method", "deletion", "optimizer", "modality", "sweep", "metric", "run")


def main(argv: Sequence[str]) -> int:
    """Print it."""
    typed = arguments.read(argv, {})
    if len(typed.words) != 2:
        raise UsageError("show takes a kind and a name, such as: mubench show method salun")
    kind, name = typed.words
    kind = kind.removesuffix("s") if kind not in KINDS else kind
    if kind not in KINDS:
        raise UsageError(f"unknown kind '{kind}'.{did_you_mean(kind, KINDS)} (mubench show --help)")
    if kind == "metric":
        return _metric(name)
    if kind == "run":
        return _run(Path(name))
    return _yaml(kind, name, typed.dirs)


def _yaml(group: str, name: str, dirs: list[Path]) -> int:
    """The yaml itself is the documentation: its header, then what can be set."""
    path = catalog.path_of(group, name, dirs)
    for line in catalog.header(path):
        print(line)
    body = path.read_text(encoding="utf-8").splitlines()
    print("\n" + "\n".join(line for line in body if not line.startswith("#")).strip("\n"))
    print(f"\n({path})")
    return 0


def _metric(name: str) -> int:
    from mubench.metrics import METRICS

    if name not in METRICS:
        hint = did_you_mean(name, METRICS)
        raise UsageError(f"unknown metric '{name}'.{hint} (mubench ls metrics)")
    found = METRICS[name]
    print((found.function.__doc__ or "").strip())
    goals = found.goal if isinstance(found.goal, str) else dict(found.goal)
    print(f"\ngoal: {goals}\nscope: {found.scope}\nneeds: {', '.join(sorted(found.needs)) or '-'}")
    print(f"source: {found.source or '-'}")
    return 0


def _run(folder: Path) -> int:
    from mubench.files import Corrupt
    from mubench.records import read
    from mubench.report.closing import everything

    try:
        record = read(folder)
    except Corrupt as error:
        raise UsageError(str(error)) from error
    if record is None:
        raise UsageError(f"{folder} holds no record (mubench ls runs)")
    everything(record, folder)
    return 0
