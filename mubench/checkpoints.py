"""Where a training stands, and how it goes on from there to the same bit."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mubench import processes
from mubench.errors import RunFailed
from mubench.files import write_atomically
from mubench.parts.gathered import resumable

_NUMBERS = ("passed", "skip", "batches", "steps", "examples", "seconds")


class State:
    """The position in a training, and the generators of its draws."""

    def __init__(self, seed: int) -> None:
        self.order = torch.Generator().manual_seed(seed)  # of the rows, once a pass
        self.noise = torch.Generator().manual_seed(seed + 1)  # of the augmentation, once a batch
        self.order_at_start = self.order.get_state()
        self.passed = 0  # whole passes done
        self.skip = 0  # batches done of the pass that is under way
        self.batches = 0  # batches done in all
        self.steps = 0  # optimizer steps done
        self.examples = 0
        self.seconds = 0.0  # of earlier processes

    def begin_pass(self) -> None:
        """Remember where the order of this pass is drawn from."""
        self.order_at_start = self.order.get_state()

    def advance(self, examples: int) -> None:
        """A batch is done."""
        self.skip += 1
        self.batches += 1
        self.examples += examples

    def end_pass(self) -> None:
        """A whole pass is done."""
        self.passed, self.skip = self.passed + 1, 0

    def export(self) -> dict[str, Any]:
        """Everything, as tensors and numbers; the global generators (dropout) of every process included."""
        own = {"cpu": torch.get_rng_state()}
        if torch.cuda.is_initialized():
            own["cuda"] = torch.cuda.get_rng_state()
        generators = {
            "order": self.order_at_start,
            "noise": self.noise.get_state(),
            "own": processes.gathered([own]),
        }
        return {**{name: getattr(self, name) for name in _NUMBERS}, "generators": generators}

    def restore(self, saved: dict[str, Any]) -> None:
        """Stand where the exported state stood."""
        for name in _NUMBERS:
            setattr(self, name, saved[name])
        generators = saved["generators"]
        self.order.set_state(generators["order"])
        self.noise.set_state(generators["noise"])
        place = processes.rank()
        if place >= len(generators["own"]):  # of a training with fewer processes: dropout is drawn anew here
            return
        own = generators["own"][place]
        torch.set_rng_state(own["cpu"])
        if "cuda" in own and torch.cuda.is_initialized():
            torch.cuda.set_rng_state(own["cuda"])


@dataclass
class Checkpoint:
    """A file that is rewritten every so many minutes, and removed by its owner when all is done."""

    path: Path | None
    minutes: float

    def __post_init__(self) -> None:
        self._saved = time.monotonic()

    def save_if_due(self, parts: dict[str, Any], state: State) -> None:
        """Write everything that the rest of the training depends on, if it is time."""
        path = self.path
        if path is None or not processes.shared(self._due):
            return
        content = {"state": state.export(), **{name: part.state_dict() for name, part in parts.items()}}
        processes.shared(lambda: write_atomically(path, lambda file: torch.save(content, file)))
        self._saved = time.monotonic()

    def _due(self) -> bool:
        return time.monotonic() - self._saved >= 60 * self.minutes

    def load(self, parts: dict[str, Any], state: State) -> bool:
        """Restore the parts and the state; False if there is no checkpoint."""
        path = self.path
        if path is None or not processes.shared(path.is_file):
            return False
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # torch raises many kinds for a damaged archive
            path.unlink(missing_ok=True)
            raise RunFailed(
                f"the checkpoint {path} cannot be read and was removed; "
                "the same command starts this training again"
            ) from error
        for name, part in parts.items():
            part.load_state_dict(content[name])
        state.restore(content["state"])
        return True


def parts_of(model: nn.Module, optimizer: Any, schedule: Any) -> dict[str, Any]:
    """What a checkpoint holds besides the state."""
    return {**resumable(model, optimizer), "schedule": schedule}
