"""The machine under a run: device, threads, precision, determinism, memory."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from functools import cache, cached_property

import torch
from accelerate import Accelerator, InitProcessGroupKwargs
from torch import nn

from mubench import failing, processes
from mubench.data import Columns
from mubench.errors import UsageError
from mubench.schema import Trainer


@cache
def accelerator(cpu: bool) -> Accelerator:
    """The process's one Accelerator. Precision and layout are ours, whatever a launcher's flags say of them.

    Several processes wait for each other as long as it takes: encoding data, or another command's lock. One
    that is lost ends them all in other ways (`mubench.failing`).
    """
    waits = [InitProcessGroupKwargs(timeout=timedelta(days=7))]
    with processes.unmarked():
        return Accelerator(cpu=cpu, mixed_precision="no", kwargs_handlers=waits)


def available_cores() -> int:
    """Cores this process may use: those that the system and a SLURM job leave to it."""
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        cores = os.cpu_count() or 1
    return _limited(cores, "SLURM_CPUS_PER_TASK")


def available_threads() -> int:
    """Threads this process may use: its cores, no more than its launcher allows, shared by its workers."""
    allowed = _limited(available_cores(), "OMP_NUM_THREADS")
    return max(1, allowed // max(1, int(os.environ.get("LOCAL_WORLD_SIZE", "1"))))


def _limited(count: int, name: str) -> int:
    """A count, or less if a variable of the environment says so."""
    limit = os.environ.get(name, "")
    return min(count, int(limit)) if limit.isdigit() and int(limit) else count


@dataclass(frozen=True)
class Engine:
    """Carries out the `trainer` settings."""

    settings: Trainer
    counts: bool = True  # operations, which is half of the work where a training takes a few steps only

    def __post_init__(self) -> None:
        if self.settings.device == "cuda" and not torch.cuda.is_available():
            raise UsageError("trainer.device=cuda: this machine or this torch has no CUDA device")

    @cached_property
    def accelerator(self) -> Accelerator:
        """Device placement and, with several processes, their communication."""
        return accelerator(self.settings.device == "cpu")

    def join(self) -> None:
        """Meet the other processes of the command; before this they can tell each other nothing."""
        if processes.launched() == 1:
            return
        failing.open_board()
        if self.accelerator.num_processes != processes.launched():
            raise UsageError(
                f"started as {processes.launched()} processes, of which {self.accelerator.num_processes} met"
            )

    @property
    def device(self) -> torch.device:
        """Where the model and its batches are."""
        device: torch.device = self.accelerator.device
        return device

    @property
    def bf16(self) -> bool:
        """Whether forwards run in bfloat16."""
        if self.settings.precision == "auto":
            return self.device.type == "cuda" and torch.cuda.is_bf16_supported()
        return self.settings.precision == "bf16"

    def describe(self) -> dict[str, str]:
        """The device in words, and what else decides the last bits: threads, vectors and precision."""
        cuda = self.device.type == "cuda"
        device = torch.cuda.get_device_name(self.device) if cuda else platform.processor() or "CPU"
        threads = self.settings.threads or available_threads()
        precision = "bf16" if self.bf16 else "fp32"
        return {
            "device": f"{self.device.type} ({device}, {threads} threads)",
            "threads": str(threads),
            "vectors": torch.backends.cpu.get_cpu_capability(),  # the CPU's instructions that torch uses
            "precision": precision,
            "processes": f"{processes.launched()}{' (weights in shards)' if processes.sharded() else ''}",
        }

    def autocast(self) -> AbstractContextManager[object]:
        """The context of every forward."""
        return torch.autocast(self.device.type, torch.bfloat16) if self.bf16 else nullcontext()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Threads and determinism set inside, as they were outside."""
        threads, mode = torch.get_num_threads(), self.settings.deterministic
        before = torch.are_deterministic_algorithms_enabled()
        torch.set_num_threads(self.settings.threads or available_threads())
        if mode != "off":
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
            torch.use_deterministic_algorithms(True, warn_only=mode == "warn")
        try:
            yield
        finally:
            torch.set_num_threads(threads)
            if mode != "off":  # the call alone imports torch._inductor: a second
                torch.use_deterministic_algorithms(before)

    def place(self, model: nn.Module) -> nn.Module:
        """The model on the device; convolutions in channels_last memory, up to 1.6 times as fast."""
        model = model.to(self.device)
        if any(isinstance(m, nn.Conv2d) for m in model.modules()):
            model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if self.settings.compile:
            model.compile()
        return model

    def synchronise(self) -> None:
        """Wait until the device has done what it was told: clocks are read after that."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def reside(self, columns: Columns) -> Columns:
        """The columns where batches are cut from: on the device if they fit, else pinned on the host.

        Columns too large for that stay mapped from their files.
        """
        if self.settings.residency == "device" or (
            self.settings.residency == "auto" and self._fits(columns.bytes)
        ):
            return columns.to(self.device)
        pinned = self.device.type == "cuda" and columns.bytes < _free_host_memory() / 4
        return columns.pin() if pinned else columns

    def _fits(self, size: int) -> bool:
        """A quarter of the free memory may hold data; the rest is for models and activations."""
        if self.device.type != "cuda":
            return True
        free, _ = torch.cuda.mem_get_info(self.device)
        return size < free / 4


def _free_host_memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
