"""Times what the methods that read gradients rest on beside the plain way to do it, and prints the ratios.

    python scripts/bench_gradients.py                       on the default device, under a minute
    python scripts/bench_gradients.py --device cpu --threads 1 --rounds 5

Gradients: those of every example by itself, by `mubench.gradients` (torch.func) and by a Python loop with one
backward an example. Threshold: SalUn's mask by `saliency_mask` (one copy, partitioned) and by sorting all
weights twice. Both ways in turns within each round, after one that warms up; medians over the rounds. Memory
is the peak of a process of its own above what it began with; on a GPU that of the allocator.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
from collections.abc import Callable
from statistics import median

import torch
from torch import Tensor, nn

from mubench import gradients
from mubench.data import Batch
from mubench.engine import available_threads
from mubench.meters import PeakMemory
from mubench.methods.salun import saliency_mask
from mubench.modalities.image import Image
from mubench.networks.resnet import SmallResNet
from mubench.networks.vit import SmallViT

NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "resnet": lambda: SmallResNet(10, 3, 32),
    "vit": lambda: SmallViT(10, 3, 32),
}
BATCH = 32  # pictures that are mapped together
WEIGHTS = 10_000_000  # for the threshold, about a ResNet-18's
Work = Callable[[], object]


def mapped_and_looped(network: str, count: int, device: torch.device) -> tuple[Work, Work]:
    """The mean squared gradient of `count` pictures of 32 pixels, by torch.func and example by example."""
    torch.manual_seed(0)
    model, modality = NETWORKS[network]().eval().to(device), Image("image")
    rows, pixels = torch.arange(count, device=device), torch.randn(count, 3, 32, 32, device=device)
    parts = zip(pixels.split(BATCH), rows.split(BATCH), strict=True)
    batches = [Batch({"pixel_values": part}, at % 10, at) for part, at in parts]
    weights = [w for w in model.parameters() if w.requires_grad]

    def loop() -> None:
        sums = [torch.zeros_like(w) for w in weights]
        for row in range(count):
            logits = model(pixels[row : row + 1])
            loss = modality.losses(logits, rows[row : row + 1] % 10).sum()
            for total, found in zip(sums, torch.autograd.grad(loss, weights), strict=True):
                total.add_(found.square())

    return lambda: gradients.mean(gradients.per_example(model, modality, batches)), loop


def partitioned_and_sorted(_network: str, count: int, device: torch.device) -> tuple[Work, Work]:
    """The mask of the half of `count` weights with the largest gradients, by rank and by a double argsort."""
    torch.manual_seed(0)
    found: dict[str, Tensor] = {str(part): torch.randn(count // 10, device=device) for part in range(10)}

    def double() -> Tensor:
        flat = torch.cat([g.abs() for g in found.values()])
        return flat.argsort(descending=True).argsort() < len(flat) // 2

    return lambda: saliency_mask(found, 0.5), double


PAIRS = {"gradients": mapped_and_looped, "threshold": partitioned_and_sorted}


def finish(device: torch.device, work: Work) -> None:
    """Do it, and wait until the device is done."""
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds(device: torch.device, works: tuple[Work, Work], rounds: int) -> list[float]:
    """Medians of both ways, in turns."""
    taken: list[list[float]] = [[], []]
    for number in range(1 + rounds):
        for place, work in enumerate(works):
            started = time.perf_counter()
            finish(device, work)
            taken[place] += [time.perf_counter() - started] if number else []
    return [median(each) for each in taken]


def peak(pair: str, network: str, count: int, device: torch.device, threads: int, place: int) -> float:
    """MiB above the inputs of one way, once a small problem has loaded what it needs."""
    torch.set_num_threads(threads)
    finish(device, PAIRS[pair](network, 20, device)[place])
    work = PAIRS[pair](network, count, device)[place]
    memory = PeakMemory(device)
    before = memory.read()["peak_memory_bytes"]
    finish(device, work)
    after = memory.read()["peak_memory_bytes"]
    return float("nan") if before is None or after is None else (after - before) / 2**20


def compare(pair: str, network: str, count: int, device: torch.device, arguments: argparse.Namespace) -> None:
    """One line: both ways' seconds and peak memory, and how many times as much the plain way takes."""
    ours, plain = seconds(device, PAIRS[pair](network, count, device), arguments.rounds)
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as processes:
        asked = [(pair, network, count, device, arguments.threads, place) for place in (0, 1)]
        mine, theirs = processes.starmap(peak, asked, chunksize=1)
    print(
        f"{pair:9} {network:6} {count:>10,} {ours:9.3f} s {plain:9.3f} s {plain / ours:6.1f} x"
        f" {mine:8,.0f} MiB {theirs:8,.0f} MiB {theirs / max(mine, 1e-9):6.1f} x",
        flush=True,
    )


def main() -> None:
    """Parse the flags, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--examples", type=int, default=128)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--threads", type=int, default=available_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    device = torch.device("cuda" if arguments.device != "cpu" and torch.cuda.is_available() else "cpu")
    print(f"{device}, {arguments.threads} threads, torch {torch.__version__}")
    ways = [f"{'mubench':>{w}} {'plain way':>{w}} {'ratio':>8}" for w in (11, 12)]
    print(f"{'':27} {' '.join(ways)}")
    for network in NETWORKS:
        compare("gradients", network, arguments.examples, device, arguments)
    compare("threshold", "", WEIGHTS, device, arguments)


if __name__ == "__main__":
    main()
