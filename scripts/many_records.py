"""Many believable records from one real run: `python scripts/many_records.py RUN OUT [COUNT]`.

RUN is a finished run's directory; OUT gets COUNT (10,000) run directories that differ from it in method,
ratio and seeds, each with its numbers a little off. They hold no predictions: good for `table`, `status`,
`ls runs` and `run --dry-run`, whose times with so many records this is for, and for nothing else.

`python scripts/many_records.py --measure OUT` prints those times, as a table for docs/sweeps.md.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from copy import deepcopy
from itertools import count, product
from pathlib import Path
from typing import Any

from mubench import catalog, index, plans

RATIOS = (2.0, 4.0, 6.0, 8.0, 10.0)
SEEDS, TASKS = 5, 9
COUNT = 10_000
ROUNDS = 3  # of each command; the best is told
COMMANDS = (
    "status",
    "ls runs",
    "table task=digits ratio=2",
    "table task=digits",
    "table",
    "report --plain",
    "run --dry-run",
    "run --dry-run -m method=salun,scrub deletion.ratio=2,4,6,8,10 seed.train=range(1,21)",
    "run --dry-run sweep=paper",
)


def main(run: Path, out: Path, number: int) -> None:
    """Write the records."""
    record = json.loads((run / "record.json").read_text(encoding="utf-8"))
    text = (run / "config.yaml").read_text(encoding="utf-8")
    for made, _ in zip(variants(record), range(number), strict=False):
        key = made["key"]
        leaf = f"seed{key['seed']['unlearn']}-{made['fingerprint'][:8]}"
        parents = (key["task"], key["model"], key["method"], f"{key['deletion']}-{key['ratio']:g}")
        folder = out.joinpath("runs", *parents, leaf)
        folder.mkdir(parents=True)
        (folder / "config.yaml").write_text(text, encoding="utf-8")
        (folder / "record.json").write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")


def measure(out: Path) -> None:
    """Print seconds of CPU and peak memory of each command: first without index and plans, then with them."""
    shutil.rmtree(out / plans.HOME, ignore_errors=True)
    (out / index.NAME).unlink(missing_ok=True)
    print("| command | first | then | memory |\n|---|---|---|---|")
    for command in COMMANDS:
        first, *later = [used([*command.split(), f"out={out}"]) for _ in range(1 + ROUNDS)]
        best, memory = min(later)
        print(
            f"| `mubench {command}` | {first[0]:.1f} s | {best:.1f} s | {memory / 1e6:,.0f} MB |", flush=True
        )


def used(words: list[str]) -> tuple[float, float]:
    """CPU seconds and peak bytes of a command in a process of its own."""
    process = subprocess.Popen([sys.executable, "-m", "mubench", *words], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"mubench {' '.join(words)} ended with {process.returncode}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def variants(record: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The record on nine tasks, under every method, ratio and seed of the paper, then with ever new seeds."""
    dirs = catalog.config_dirs()
    methods = catalog.names("method", dirs)
    tasks = [name for name in catalog.names("task", dirs) if "/" not in name][:TASKS]
    for first in count(0, SEEDS):
        for task, ratio, method, seed in product(tasks, RATIOS, methods, range(first, first + SEEDS)):
            yield varied(record, task, method, ratio, seed)


def varied(record: dict[str, Any], task: str, method: str, ratio: float, seed: int) -> dict[str, Any]:
    """One record; what depends on a seed or ratio has a hash of its own."""
    made, draw = deepcopy(record), random.Random(f"{task} {method} {ratio} {seed}")
    seeds = {**made["key"]["seed"], "train": seed, "unlearn": seed}
    made["key"] |= {"task": task, "method": method, "ratio": ratio, "seed": seeds}
    made["config"]["task"]["name"] = task
    made["config"]["method"]["name"] = method
    made["config"]["deletion"]["ratio"] = ratio
    made["config"]["seed"] |= {"train": seed, "unlearn": seed}
    typed = {"task": task, "method": method, "deletion.ratio": f"{ratio:g}", "seed.train": seed}
    made["overrides"] = [f"{name}={value}" for name, value in typed.items()]
    made["fingerprint"] = digest(task, method, ratio, seed)
    made["forget_set"] |= {"sha256": digest(task, ratio)}
    models = {"original": digest(task, seed), "retrained": digest(task, ratio, seed)}
    made["models"] |= models
    made["files"] = {}
    for group, owner in {"unlearned": made["fingerprint"], **models}.items():
        shared = random.Random(owner)
        made["metrics"][group] = moved(made["metrics"].get(group) or {}, shared)
    made["metrics"]["relative"] = moved(made["metrics"]["relative"], draw)
    made["cost"] = moved(made["cost"], draw)
    return made


def moved(numbers: dict[str, Any], draw: random.Random) -> dict[str, Any]:
    """Numbers up to a tenth off; whole ones and nulls as they are."""
    return {
        name: value * draw.uniform(0.9, 1.1) if isinstance(value, float) else value
        for name, value in numbers.items()
    }


def digest(*parts: object) -> str:
    """64 hexadecimal digits."""
    return hashlib.sha256(" ".join(map(str, parts)).encode()).hexdigest()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"] and len(sys.argv) == 3:
        measure(Path(sys.argv[2]))
        sys.exit()
    if len(sys.argv) not in (3, 4):
        sys.exit(str(__doc__))
    target = Path(sys.argv[2])
    if (target / "runs").exists():
        sys.exit(f"{target} holds runs already")
    main(Path(sys.argv[1]), target, int(sys.argv[3]) if len(sys.argv) == 4 else COUNT)
