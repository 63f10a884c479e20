"""Token ids of prompts and answers: cut, padded, counted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from mubench.modalities.base import BrokenRow

IGNORED = -100  # pads label tokens: no loss, no metric counts it


def texts(values: Sequence[Any], what: str) -> list[str]:
    """The values as they are; BrokenRow for one that is no text, or an empty one."""
    for place, value in enumerate(values):
        if value is None or (isinstance(value, str) and not value.strip()):
            raise BrokenRow(place, f"the {what} is empty")
        if not isinstance(value, str):
            raise BrokenRow(place, f"the {what} is {type(value).__name__}, not a string")
    return list(values)


def padded(rows: Sequence[Sequence[int]], length: int, padding: int, left: bool) -> Tensor:
    """Rows of at most `length` ids as (n, length) int64."""
    found = torch.full((len(rows), length), padding, dtype=torch.int64)
    for place, row in enumerate(rows):
        start = length - len(row) if left else 0
        found[place, start : start + len(row)] = torch.tensor(row, dtype=torch.int64)
    return found


def answers(tokenizer: Any, answers: Sequence[str], before: str, separator: str) -> list[list[int]]:
    """Ids of answers without special tokens, as they are where they follow `before` and the separator.

    A tokenizer may merge a space into the next word, or put one before a text: so the ids are those that
    the joint text has more than `before` alone.
    """
    lead: list[int] = tokenizer(before, add_special_tokens=False)["input_ids"] if before else []
    joint = tokenizer([before + separator + a for a in answers], add_special_tokens=False)["input_ids"]
    return [ids[len(lead) :] for ids in joint]


def without_end(tokenizer: Any, text: str, surplus: int) -> str:
    """The text without its last `surplus` tokens."""
    spans = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    kept = spans[: max(0, len(spans) - surplus)]
    return text[: kept[-1][1]].rstrip() if kept else ""


def width(labels: Tensor) -> int:
    """The columns of labels (B, T) up to the last that holds one, at least 1."""
    used = (labels != IGNORED).any(dim=0).nonzero()
    return int(used[-1]) + 1 if len(used) else 1


def mean(values: Tensor, mask: Tensor) -> Tensor:
    """The mean (B,) over the places (B, T) where the mask is true; 0 where there are none."""
    return (values * mask).sum(dim=1) / mask.sum(dim=1).clamp_min(1)
