"""A page of docs/ whose lower part a script writes: what stands above its mark is written by hand."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path


def page(path: Path, mark: str, parts: Iterable[str]) -> str:
    """The whole page: what is written by hand, the mark, and the parts."""
    by_hand = path.read_text(encoding="utf-8").partition(mark)[0]
    return by_hand + mark + "\n" + "\n".join(parts) + "\n"


def written(path: Path, text: str) -> int:
    """Rewrite the page; with --check 1 where it differs, and nothing is written."""
    if "--check" in sys.argv[1:]:
        return int(text != path.read_text(encoding="utf-8"))
    path.write_text(text, encoding="utf-8")
    return 0
