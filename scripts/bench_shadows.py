"""Times N models trained at once against N trained one after the other, and prints the ratios.

    python scripts/bench_shadows.py                          16 models of each case, on the default device
    python scripts/bench_shadows.py --count 8 --rounds 5

Both do the same work by mubench's own loop (the same seeds, rows, steps, recipe), in turn in each of several
rounds of a few dozen steps; medians over the rounds, after one that warms up. Beside them what
`mubench prepare shadows=N` decides to do.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

import torch
from bench import laid_out, load, show

from mubench import artifacts
from mubench.engine import available_threads
from mubench.models import shadow_seed
from mubench.shadows import abreast, trial
from mubench.shadows.stack import Stack
from mubench.workbench import Workbench

CASES = {
    "resnet-small@digits": ["task=digits"],
    "resnet-small 8@digits": ["task=digits", "model.build.widths=[8]"],
    "resnet-small 8, batch 8@digits": ["task=digits", "model.build.widths=[8]", "training.batch_size=8"],
    "vit-small@digits": ["task=digits", "model=vit-small"],
    "mini/bert@mini/imdb": ["task=mini/imdb", "model=mini/bert"],
    "mini/gpt2@mini/celeb_profile": ["task=mini/celeb_profile", "model=mini/gpt2"],
}


def one_by_one(bench: Workbench, seeds: Sequence[int], rows: torch.Tensor) -> float:
    """Seconds of trainings one after the other."""
    models = [bench.engine.place(bench.spec.start(seed)) for seed in seeds]
    bench.engine.synchronise()
    started = time.perf_counter()
    for model, seed in zip(models, seeds, strict=True):
        artifacts.fit(bench, model, rows, None, "alone", seed)
    bench.engine.synchronise()
    return time.perf_counter() - started


def at_once(bench: Workbench, seeds: Sequence[int], rows: torch.Tensor) -> float:
    """Seconds of the same trainings at once."""
    stack = Stack([bench.spec.start(seed).to(bench.engine.device) for seed in seeds])
    bench.engine.synchronise()
    started = time.perf_counter()
    abreast.training(bench, stack, seeds, rows, None, "together").run()
    bench.engine.synchronise()
    return time.perf_counter() - started


def compare(name: str, arguments: argparse.Namespace, out: str) -> list[str]:
    """One case's row of the table."""
    typed = [*CASES[name], "training.epochs=1", f"shadows={arguments.count}", f"out={out}"]
    typed += [f"trainer.device={arguments.device}", f"trainer.threads={arguments.threads}"]
    bench = laid_out(typed)
    bench = replace(bench, engine=replace(bench.engine, counts=False))
    rows = bench.rows("train")[: arguments.steps * bench.config.settings.training.batch_size]
    seeds = [shadow_seed(42, number) for number in range(arguments.count)]
    with bench.engine.running():
        way = trial.choose(bench, bench.rows("train"))
        rounds = [
            (one_by_one(bench, seeds, rows), at_once(bench, seeds, rows)) for _ in range(1 + arguments.rounds)
        ]
    alone, together = (median(part) for part in zip(*rounds[1:], strict=True))
    ratio = median(single / stacked for single, stacked in rounds[1:])
    weights = sum(weight.numel() for weight in bench.spec.fresh(0).parameters())
    return [name, f"{weights:,}", f"{alone:.2f}", f"{together:.2f}", f"{ratio:.2f}", str(way.at_once)]


def main() -> None:
    """Parse the flags, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", nargs="+", default=CASES, choices=CASES)
    parser.add_argument("--count", type=int, default=16, help="models")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--steps", type=int, default=20, help="optimizer steps of each model, at most an epoch"
    )
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--threads", type=int, default=available_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    device = "cuda" if arguments.device != "cpu" and torch.cuda.is_available() else "cpu"
    print(f"{device}, {arguments.threads} threads, torch {torch.__version__}, {load()}")
    with tempfile.TemporaryDirectory() as folder:
        rows = [compare(name, arguments, str(Path(folder))) for name in arguments.cases]
    columns = ["network", "weights", "in turn, s", "at once, s", "ratio", "chosen at once"]
    show(f"{arguments.count} models, one epoch or {arguments.steps} steps each", columns, rows)


if __name__ == "__main__":
    main()
