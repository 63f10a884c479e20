"""What stands below tables: what the signs mean, and what to be wary of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from mubench.statistics import FEWEST
from mubench.statistics.seeds import LEVEL

SURE, DOUBT = f"{100 * LEVEL:g} %", f"{100 * (1 - LEVEL):.2g} %"  # of intervals, and of tests
SIGNS = "±*=✓"  # in the order that they are explained in
NAMES = {"t": "paired t test", "wilcoxon": "Wilcoxon signed-rank test"}


class Told(NamedTuple):
    """What there is to say below some tables."""

    signs: dict[str, str]  # what each sign means that they show
    fewest: int  # training seeds of any row
    warnings: list[str]


def listed(several: Sequence[Told]) -> Iterator[tuple[str, str]]:
    """What to say below all of the tables: each sign and what it means, then `!` and what to be wary of."""
    signs = {sign: text for one in several for sign, text in one.signs.items()}
    yield from ((sign, signs[sign]) for sign in SIGNS if sign in signs)
    if (doubt := few(min((one.fewest for one in several), default=FEWEST))) is not None:
        yield "!", f"{doubt}: run {FEWEST} training seeds or more (mubench run sweep=seeds)"
    yield from (("!", text) for one in several for text in one.warnings)


def few(n: int) -> str | None:
    """What so few training seeds do to a row; None if they are enough."""
    doubt = "has no interval and decides nothing" if n == 1 else "gives wide intervals and no tests"
    return f"n = {n} {doubt}" if n < FEWEST else None
