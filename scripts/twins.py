"""Times and memory of every mini task's whole run, stage by stage, as the table in docs/twins.md.

    python scripts/twins.py                    every mini task, each in a process of its own
    python scripts/twins.py mini/imdb mini/nlvr2

Each is `mubench run task=<twin>` with all defaults (SalUn, 5 %) into a fresh outputs folder: encoding,
training the original and the retrained model, unlearning, evaluation.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mubench import catalog
from mubench.engine import available_threads
from mubench.environment import versions

HEADINGS = (
    "twin", "model", "examples", "whole run", "original", "retrained", "unlearn", "evaluate",
    "score", "test", "forget: original", "retrained", "unlearned",
)  # fmt: skip
SCORES = ("accuracy", "rougeL", "loss")  # the first that a task has stands in the table


def main(wanted: Sequence[str]) -> int:
    """Run the twins one after the other; print a markdown table; 1 if one failed."""
    names = wanted or [n for n in catalog.names("task", catalog.config_dirs()) if n.startswith("mini/")]
    known = versions()
    print(f"torch {known['torch']}, Python {known['python']}, {available_threads()} threads of a CPU\n")
    print(f"| {' | '.join(HEADINGS)} |\n|{'---|' * len(HEADINGS)}")
    failed = [name for name in names if not _show(name)]
    print(f"\nfailed: {', '.join(failed)}" if failed else "", flush=True)
    return 1 if failed else 0


def _show(name: str) -> bool:
    """One twin's row; False if its run failed."""
    with tempfile.TemporaryDirectory() as folder:
        out, log = Path(folder), Path(folder) / "said.txt"
        started = time.perf_counter()
        command = [sys.executable, "-m", "mubench", "run", f"task={name}", f"out={out}"]
        with log.open("w") as said:
            process = subprocess.Popen(command, stdout=said, stderr=said)
            _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        if status:
            print(f"{name}: {log.read_text().strip().splitlines()[-1]}", file=sys.stderr)
            return False
        print(f"| {' | '.join(_row(name, out, wall, usage.ru_maxrss * 1024))} |", flush=True)
    return True


def _row(name: str, out: Path, wall: float, peak: float) -> list[str]:
    (run,) = (_json(path) for path in out.glob("runs/**/record.json"))
    trained = [_json(next(out.glob(f"models/**/{role}/*/record.json")))["cost"]
               for role in ("original", "retrained")]  # fmt: skip
    cost, models = run["cost"], run["metrics"]
    score = next(s for s in SCORES if models["unlearned"].get(f"test_{s}") is not None)
    forget = [models[role][f"forget_{score}"] for role in ("original", "retrained", "unlearned")]
    return [
        name, run["key"]["model"], f"{run['data']['train']:,}", f"{wall:.0f} s, {_size(peak)}",
        *(f"{c['seconds']:.1f} s, {_size(c['peak_memory_bytes'])}" for c in trained),
        f"{cost['unlearn_seconds']:.1f} s, {_size(cost['peak_memory_bytes'])}",
        f"{cost['evaluate_seconds']:.1f} s", score, f"{models['original'][f'test_{score}']:.3f}",
        *(f"{value:.3f}" for value in forget),
    ]  # fmt: skip


def _json(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def _size(size: float | None) -> str:
    return "-" if size is None else f"{size / 2**20:,.0f} MiB"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
