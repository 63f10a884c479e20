"""What a sweep in one process spends on each run beside unlearning and evaluation.

    python scripts/bench_sweep.py [RUNS]

Runs NegGrad on digits at RUNS unlearning seeds (default: 20) in one real `mubench run -m`, with data and
shared models prepared before. Prints the seconds a run: work (unlearning and evaluation, as the records say)
and the rest; the time of a sweep of one run that is complete, which starts and ends alike, is taken off
before. A profile names what the rest is:
python -m cProfile -o FILE -m mubench run -m ...
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from mubench.records import Record, query

QUICK = ("method=neggrad", "task=digits", "training.epochs=2", "unlearning.epochs=1", "trainer.threads=1")


def main(argv: list[str]) -> int:
    """Prepare, sweep, print."""
    runs = int(argv[0]) if argv else 20
    with tempfile.TemporaryDirectory() as folder:
        out = f"out={folder}/outputs"
        started = time.perf_counter()
        _mubench("prepare", *QUICK, out)
        _mubench(
            "run", *QUICK, out
        )  # what a process starts with: imports, and evidence kept of shared models
        alone = time.perf_counter() - started
        started = time.perf_counter()
        _mubench("run", "-m", *QUICK, out)
        start = time.perf_counter() - started
        started = time.perf_counter()
        seeds = ",".join(str(seed) for seed in range(runs))
        _mubench("run", "-m", f"seed.unlearn={seeds}", *QUICK, out)
        whole = time.perf_counter() - started
        records = [found for _, found in query(Path(folder, "outputs")) if isinstance(found, Record)]
    work = sum((r.cost["unlearn_seconds"] or 0) + (r.cost["evaluate_seconds"] or 0) for r in records) / len(
        records
    )
    each = (whole - start) / runs
    print(f"prepare and one run by itself: {alone:.1f} s; to start and end: {start:.1f} s")
    print(f"a run in the sweep: {each:.2f} s, of which work {work:.2f} s, the rest {each - work:.2f} s")
    return 0


def _mubench(*words: str) -> None:
    subprocess.run([sys.executable, "-m", "mubench", *words], check=True, capture_output=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
