"""Methods written outside the package, as a user would: found by --config-dir."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from torch import nn

from mubench.methods.base import Method


@dataclass
class Slowly(Method):
    """Gradient ascent that says when it begins and takes its time: something to interrupt."""

    pause: float = 0.3
    ascends: ClassVar[bool] = True
    source: ClassVar[tuple[str, ...]] = ("thudi2022", "a talk of our own, 2026")
    formula: ClassVar[str] = "min -mean CE(D_f), slowly"

    def prepare(self, run):
        print("unlearning has begun", file=sys.stderr, flush=True)

    def loss(self, run, batch):
        time.sleep(self.pause)
        return -run.reduce(run.losses(batch))


@dataclass
class Raises(Method):
    """Fails in the middle of its work."""

    def loss(self, run, batch):
        raise ValueError("no idea what to do")


@dataclass
class Brittle(Method):
    """Gradient ascent that fails as long as a file is there: what can be mended, and tried again."""

    def loss(self, run, batch):
        if Path(os.environ["OBSTACLE"]).exists():
            raise ValueError("a file is in the way")
        return -run.reduce(run.losses(batch))


@dataclass
class Explodes(Method):
    """Its loss is not a number."""

    def loss(self, run, batch):
        return run.reduce(run.losses(batch)) * float("nan")


@dataclass
class Writes(Method):
    """Only for tasks whose models write texts."""

    families: ClassVar[frozenset[str]] = frozenset({"texts"})

    def loss(self, run, batch):
        return run.reduce(run.losses(batch))


@dataclass
class Backwards(Method):
    """Weighed gradient ascent, as it should be."""

    strength: float = 2.0

    def loss(self, run, batch):
        return -self.strength * run.reduce(run.losses(batch), "forget")


@dataclass
class Leaky(Backwards):
    """The same, but its one setting is never read."""

    def loss(self, run, batch):
        return -run.reduce(run.losses(batch), "forget")


class Flat(nn.Module):
    """One linear layer over the pixels: its operations can be counted by hand."""

    def __init__(self, classes, channels, image_size):
        super().__init__()
        self.head = nn.Linear(channels * image_size**2, classes)

    def forward(self, pixel_values):
        return self.head(pixel_values.flatten(1))
