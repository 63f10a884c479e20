"""Times mubench side by side with what it should beat, and prints the ratios.

    python scripts/bench.py                          loops and whole runs on the default device
    python scripts/bench.py --only loops --models vit-small@digits --steps 500

Loops: mubench's training, `transformers.Trainer` and a bare PyTorch loop do the same work (weights, stored
uint8 images to normalise, batch size, steps, precision, fused AdamW, clipping, schedule), one after the other
in each of several rounds; medians over the rounds. What mubench's engine does to a model by itself (memory
layout) is its own part of the comparison.

Runs: `mubench run` on digits as a process of its own and its parts,
cold (nothing there yet) and warm (the original and the retrained model are there).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mubench import artifacts, catalog
from mubench.engine import available_threads
from mubench.optimization import factor
from mubench.plan import Planner
from mubench.progress import Reporter
from mubench.workbench import Workbench, lay_out

MODELS = ("resnet-small@digits", "vit-small@digits", "mini/resnet@mini/cifar100", "mini/vit@mini/cifar100")
PARTS = ("start-up", "original", "retrained", "unlearn", "evaluate", "rest")
Loop = Callable[[Workbench, nn.Module], float]


class Labelled(nn.Module):
    """A classifier that returns its loss with its logits, as Trainer expects."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixel_values: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Mean cross-entropy of (B, C, H, W) images against (B,) labels, and the logits (B, K)."""
        output = self.model(pixel_values=pixel_values)
        logits = output if isinstance(output, Tensor) else output.logits
        return {"loss": F.cross_entropy(logits.float(), labels), "logits": logits}


class Examples(torch.utils.data.Dataset[dict[str, Tensor]]):
    """Training rows as the dicts that Trainer reads, each normalised when asked for, as its users do it."""

    def __init__(self, bench: Workbench) -> None:
        columns = bench.data["train"]
        self.pixels, self.labels = columns.inputs["pixel_values"], columns.targets
        self.normalise = normaliser(bench, torch.device("cpu"))

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, row: int) -> dict[str, Tensor]:
        return {"pixel_values": self.normalise(self.pixels[row]), "labels": self.labels[row]}


def normaliser(bench: Workbench, device: torch.device) -> Callable[[Tensor], Tensor]:
    """From stored uint8 pixels (..., C, H, W) to what the model takes."""
    mean, std = (torch.tensor(v, device=device).view(-1, 1, 1) for v in
                 (bench.spec.input.mean, bench.spec.input.std))  # fmt: skip
    return lambda pixels: (pixels.float() / 255 - mean) / std


def ours(bench: Workbench, model: nn.Module) -> float:
    """Seconds of mubench's loop, from the stored uint8 columns on."""
    with tempfile.TemporaryDirectory() as folder:
        artifacts.fit(bench, model, bench.rows("train"), Path(folder) / "checkpoint.pt", "bench", 0)
    return 0.0


def trainers(bench: Workbench, model: nn.Module) -> float:
    """Seconds that Trainer spent before its first step, which do not count."""
    from transformers import PrinterCallback, Trainer, TrainerCallback

    class Clock(TrainerCallback):  # type: ignore[misc]
        began = 0.0

        def on_train_begin(self, *_: Any, **__: Any) -> None:
            self.began = time.perf_counter()

    clock, started = Clock(), time.perf_counter()
    examples = Examples(bench)
    with tempfile.TemporaryDirectory() as folder:
        arguments = trainer_arguments(bench, folder)
        trainer = Trainer(Labelled(model), arguments, train_dataset=examples, callbacks=[clock])
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return clock.began - started


def trainer_arguments(bench: Workbench, folder: str) -> Any:
    """The recipe in Trainer's words; no evaluation, saving, logging or progress bar."""
    from transformers import TrainingArguments

    recipe = bench.config.settings.training
    return TrainingArguments(
        folder, num_train_epochs=recipe.epochs, per_device_train_batch_size=recipe.batch_size,
        learning_rate=recipe.lr, weight_decay=recipe.weight_decay, max_grad_norm=recipe.clip or 0.0,
        lr_scheduler_type=recipe.schedule, warmup_steps=recipe.warmup, optim="adamw_torch_fused",
        bf16=bench.engine.bf16, use_cpu=bench.engine.device.type == "cpu", disable_tqdm=True,
        dataloader_pin_memory=bench.engine.device.type == "cuda", logging_strategy="no",
        save_strategy="no", eval_strategy="no", report_to=[],
    )  # fmt: skip


def bare(bench: Workbench, model: nn.Module) -> float:
    """Seconds that a plain loop took to set up, which do not count."""
    started = time.perf_counter()
    recipe, columns = bench.config.settings.training, bench.data["train"].to(bench.engine.device)
    pixels, labels = columns.inputs["pixel_values"], columns.targets
    normalise = normaliser(bench, bench.engine.device)
    labelled, total = Labelled(model).train(), recipe.epochs * -(-len(labels) // recipe.batch_size)
    weights = list(model.parameters())
    optimizer = torch.optim.AdamW(weights, recipe.lr, weight_decay=recipe.weight_decay, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: factor(step, total, recipe))
    bench.engine.synchronise()
    excluded = time.perf_counter() - started
    for _ in range(recipe.epochs):
        for rows in torch.randperm(len(labels)).to(labels.device).split(recipe.batch_size):
            with bench.engine.autocast():
                loss = labelled(normalise(pixels[rows]), labels[rows])["loss"]
            loss.backward()
            nn.utils.clip_grad_norm_(weights, recipe.clip or float("inf"))
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
    return excluded


LOOPS: dict[str, Loop] = {"mubench": ours, "Trainer": trainers, "bare": bare}


def rate(loop: Loop, bench: Workbench) -> float:
    """Examples a second of one loop from fresh weights, the device's queue included."""
    model = bench.spec.start(0)
    model = bench.engine.place(model) if loop is ours else model.to(bench.engine.device)
    bench.engine.synchronise()
    started = time.perf_counter()
    excluded = loop(bench, model)
    bench.engine.synchronise()
    seconds = time.perf_counter() - started - excluded
    return bench.config.settings.training.epochs * len(bench.rows("train")) / seconds


def compare(name: str, arguments: argparse.Namespace, out: str) -> list[str]:
    """One model's row of the table: medians over alternating rounds, the first of which warms up."""
    model, _, task = name.partition("@")
    typed = [f"model={model}", f"task={task}", f"training.batch_size={arguments.batch_size}", f"out={out}"]
    typed += [f"trainer.device={arguments.device}", f"trainer.threads={arguments.threads}"]
    examples = len(laid_out(typed).rows("train"))
    epochs = max(1, round(arguments.steps * arguments.batch_size / examples))
    bench = laid_out([*typed, f"training.epochs={epochs}"])
    rounds: list[dict[str, float]] = []
    with bench.engine.running():
        rounds += [
            {name: rate(loop, bench) for name, loop in LOOPS.items()} for _ in range(1 + arguments.rounds)
        ]
    rates = {name: median(one[name] for one in rounds[1:]) for name in LOOPS}
    ratios = [median(one["mubench"] / one[name] for one in rounds[1:]) for name in ("Trainer", "bare")]
    return [name, *(f"{value:,.0f}" for value in rates.values()), *(f"{ratio:.2f}" for ratio in ratios)]


def laid_out(typed: Sequence[str]) -> Workbench:
    """The workbench of a `mubench run` with these overrides."""
    planner = Planner([catalog.packaged_dir()])
    return lay_out(planner.cells(typed, multirun=False)[0], Reporter(quiet=True))


def whole(typed: Sequence[str], out: Path) -> dict[str, float]:
    """Seconds of `mubench run` in a process of its own, in all and by its parts."""
    note = out / "first-step.txt"
    command = [sys.executable, __file__, "--probe", str(note), "run", f"out={out}", *typed]
    started = time.time()
    done = subprocess.run(command, capture_output=True, text=True)
    total = time.time() - started
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}")
    record = next((out / "runs").rglob("record.json"))
    cost, cold = json.loads(record.read_text())["cost"], "force=true" not in typed
    trained = [cost["original_seconds"], cost["retrain_seconds"]] if cold else [0.0, 0.0]
    found = [float(note.read_text()) - started, *trained, cost["unlearn_seconds"], cost["evaluate_seconds"]]
    return {"whole": total, **dict(zip(PARTS, [*found, total - sum(found)], strict=True))}


def probe(note: str, words: Sequence[str]) -> int:
    """The command line itself, with the time of the process's first optimizer step noted in a file."""
    from torch.optim.optimizer import register_optimizer_step_post_hook

    from mubench.cli import main as command_line

    def first(*_: Any) -> None:
        Path(note).write_text(str(time.time()))
        handle.remove()

    handle = register_optimizer_step_post_hook(first)
    return command_line(words)


def whole_runs(arguments: argparse.Namespace) -> list[list[str]]:
    """The rows of the second table: a cold run, then the median of warm ones."""
    typed = [f"trainer.device={arguments.device}", f"trainer.threads={arguments.threads}"]
    with tempfile.TemporaryDirectory() as folder:
        cold = whole(typed, Path(folder))
        warm = [whole([*typed, "force=true"], Path(folder)) for _ in range(arguments.rounds)]
    middle = {part: median(one[part] for one in warm) for part in cold}
    return [[name, *(f"{run[part]:.1f}" for part in run)] for name, run in (("cold", cold), ("warm", middle))]


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print one table."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for place, column in enumerate(columns):
        table.add_column(column, justify="right" if place else "left")
    for row in rows:
        table.add_row(*row)
    Console(width=100).print(table)


def main() -> None:
    """Parse the flags, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", default=MODELS, metavar="MODEL@TASK")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=200, help="optimizer steps of a loop, to whole epochs")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--threads", type=int, default=available_threads())
    parser.add_argument("--only", choices=("loops", "runs"))
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    device = "cuda" if arguments.device != "cpu" and torch.cuda.is_available() else "cpu"
    print(f"{device}, {arguments.threads} threads, torch {torch.__version__}, {load()}")
    if arguments.only != "runs":
        with tempfile.TemporaryDirectory() as folder:
            rows = [compare(name, arguments, folder) for name in arguments.models]
        show("examples/s", ["model", *LOOPS, "of Trainer", "of bare"], rows)
    if arguments.only != "loops":
        show("seconds of mubench run on digits", ["run", "whole", *PARTS], whole_runs(arguments))


def load() -> str:
    """What else keeps the machine busy: timings beside other work are worth little."""
    with suppress(OSError, AttributeError):
        return f"load average {os.getloadavg()[0]:.1f}"
    return "load average unknown"


if __name__ == "__main__":
    if sys.argv[1:2] == ["--probe"]:
        sys.exit(probe(sys.argv[2], sys.argv[3:]))
    main()
