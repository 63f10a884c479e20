"""Tables as text, and what stands below them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from mubench.report.notes import Told, listed
from mubench.report.terminal import print_whole


class Printed(NamedTuple):
    """Tables as this terminal shows them, and what there is to say below."""

    text: str
    told: Told


def print_tables(several: Sequence[Printed]) -> None:
    """Print tables, then what their signs mean and what to be wary of."""
    print("".join(one.text for one in several), end="")
    for sign, text in listed([one.told for one in several]):
        print_whole(f"{sign} {text}")
