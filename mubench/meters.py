"""What work takes of a machine besides time: memory, and the energy of NVIDIA devices."""

from __future__ import annotations

import resource
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from mubench import processes


@dataclass
class Cost:
    """Numbers of what work took, by name; where one is None, `reasons` says why."""

    numbers: dict[str, float | None] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, value: float | None, reason: str = "") -> None:
        """Note a number, or why there is none."""
        self.numbers[name] = value
        if value is None:
            self.reasons[name] = reason
        else:
            self.reasons.pop(name, None)

    def join(self, name: str, values: list[float | None], how: Callable[[list[float]], float]) -> None:
        """One number of the numbers of several processes, if all have one."""
        known = [value for value in values if value is not None]
        if len(known) == len(values):
            self.numbers[name] = how(known)


class Meter:
    """Peak memory, and energy of the device, since it was made."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._memory = PeakMemory(device)
        self._counter = energy_counter(device)
        self._began = None if isinstance(self._counter, str) else self._counter.joules()

    def read(self) -> Cost:
        """`peak_memory_bytes`, `peak_host_memory_bytes`, `energy_joules`.

        Of several processes that of the one that took most memory, and the energy of all.
        """
        found = processes.gathered([self._own()])
        for name in ("peak_memory_bytes", "peak_host_memory_bytes"):
            found[0].join(name, [cost.numbers[name] for cost in found], max)
        found[0].join("energy_joules", [cost.numbers["energy_joules"] for cost in found], sum)
        return found[0]

    def _own(self) -> Cost:
        """Of this process."""
        cost = Cost()
        for name, value in self._memory.read().items():
            cost.add(name, value, "the system does not tell a process's peak memory")
        if isinstance(self._counter, str) or self._began is None:
            cost.add("energy_joules", None, str(self._counter))
        else:
            cost.add("energy_joules", self._counter.joules() - self._began)
        return cost


@dataclass(frozen=True)
class EnergyCounter:
    """A device's running total, as NVML keeps it from the time when the driver was loaded."""

    nvml: Any  # the module pynvml, or what speaks like it
    handle: Any

    def joules(self) -> float:
        """The total so far; NVML counts in thousandths."""
        return float(self.nvml.nvmlDeviceGetTotalEnergyConsumption(self.handle)) / 1000


def energy_counter(device: torch.device) -> EnergyCounter | str:
    """The counter of a device, or one sentence why it has none that can be read."""
    if device.type != "cuda":
        return f"energy is read of NVIDIA devices only, not of {device.type}"
    if find_spec("pynvml") is None:
        return "energy is read by the package nvidia-ml-py: pip install 'mubench[energy]'"
    import pynvml

    uuid = f"GPU-{torch.cuda.get_device_properties(device).uuid}"
    return opened(pynvml, uuid)


def opened(nvml: Any, uuid: str) -> EnergyCounter | str:
    """The counter of the device with this UUID, if the driver lets it be read: devices since Volta do."""
    try:
        nvml.nvmlInit()
        counter = EnergyCounter(nvml, nvml.nvmlDeviceGetHandleByUUID(uuid))
        counter.joules()
    except nvml.NVMLError as error:
        return f"the device's energy cannot be read ({error})"
    return counter


class PeakMemory:
    """Peak memory since it was made: of the device, and of the host process where Linux tells it."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        self._reset = _reset_host_peak()

    def read(self) -> dict[str, float | None]:
        """Bytes: `peak_memory_bytes` where the model is, `peak_host_memory_bytes` of the process."""
        host = _host_peak() if self._reset else None
        if self.device.type != "cuda":
            return {"peak_memory_bytes": host, "peak_host_memory_bytes": host}
        device = torch.cuda.max_memory_allocated(self.device)
        return {"peak_memory_bytes": device, "peak_host_memory_bytes": host}


def _reset_host_peak() -> bool:
    """Start a new high-water mark of this process; False where the system has no such thing."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _host_peak() -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return float(line.split()[1]) * 1024
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * 1024
