"""Statistics over seeds: intervals, paired tests, ranks. Numbers in, numbers out; no torch, no records."""

from typing import Literal

Test = Literal["t", "wilcoxon"]
TESTS: tuple[Test, ...] = ("t", "wilcoxon")
FEWEST = 3  # shared training seeds from which on a test is made


class Undefined(Exception):
    """A statistic cannot be computed of these numbers; the message says why."""
