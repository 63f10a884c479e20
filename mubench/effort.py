"""What work took: steps, examples, seconds, and floating-point operations as torch counts them."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass
class Effort:
    """What work took: optimizer steps, examples that went through, seconds, floating-point operations."""

    steps: int = 0
    examples: int = 0
    seconds: float = 0.0
    earlier_seconds: float = 0.0  # of these, spent by processes that were interrupted
    flops: float | None = 0.0
    moved: float | None = None  # when the first weight did, by time.perf_counter

    def begin(self, synchronise: Callable[[], None]) -> None:
        """Note that weights are about to move: what came before was preparation."""
        if self.moved is None:
            synchronise()
            self.moved = time.perf_counter()

    def add(self, other: Effort) -> None:
        """Count other work in; unknown operations make the sum unknown."""
        self.steps += other.steps
        self.examples += other.examples
        self.seconds += other.seconds
        self.earlier_seconds += other.earlier_seconds
        known = self.flops is not None and other.flops is not None
        self.flops = (self.flops or 0) + (other.flops or 0) if known else None


def flop_counter() -> Any:
    """Torch's counter without its guard against being compiled: that imports torch._dynamo, for seconds."""
    from torch.utils import flop_counter

    mode: Any = getattr(flop_counter, "_FlopCounterMode", None)  # private: another torch may lack it
    if mode is not None:
        mode.__torch_dispatch__ = inspect.unwrap(mode.__torch_dispatch__)
    return flop_counter.FlopCounterMode(display=False)
