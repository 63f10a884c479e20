"""Prompts as token ids: of a checkpoint's own tokenizer, or of one that the training prompts taught."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mubench.hub import reaching
from mubench.modalities import tokens
from mubench.modalities.base import BrokenRow

LENGTH = 77  # tokens, where neither the model's node nor its tokenizer sets a limit
LONGEST = 4096  # a tokenizer without a limit of its own names an astronomical one


def checked(prompts: Sequence[Any]) -> list[str]:
    """The prompts; BrokenRow for what is no text or an empty one."""
    for place, prompt in enumerate(prompts):
        if not isinstance(prompt, str) or not prompt.strip():
            raise BrokenRow(place, f"the prompt is empty or no text: {prompt!r}")
    return list(prompts)


def learn(prompts: Sequence[str], model: Mapping[str, Any], folder: Path) -> int:
    """Leave a tokenizer in the folder, of the checkpoint or learned; the tokens of a padded prompt.

    The model's node may name `prompt_length`; by default the tokenizer's own limit.
    """
    place, wanted = model.get("checkpoint"), model.get("prompt_length")
    if place is None:
        tokens.learn(prompts, model, folder)
        return int(wanted or LENGTH)
    from transformers import AutoTokenizer

    with reaching(f"the tokenizer of '{place}' from the hub or a folder", "and pass model.checkpoint=PATH"):
        tokenizer = AutoTokenizer.from_pretrained(place, subfolder="tokenizer")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.save_pretrained(str(folder))
    limit = tokenizer.model_max_length
    return int(wanted or (limit if limit <= LONGEST else LENGTH))


def tokenised(prompts: Sequence[str], folder: Path, length: int) -> Tensor:
    """Token ids (n, length) int64 by the tokenizer in the folder, cut or padded."""
    found = tokens.load(folder)(list(prompts), padding="max_length", truncation=True, max_length=length)
    return torch.tensor(found["input_ids"], dtype=torch.int64)


def texts(ids: Tensor, folder: Path) -> list[str]:
    """What token ids (B, L) say, as the tokenizer spells it."""
    found: list[str] = tokens.load(folder).batch_decode(ids, skip_special_tokens=True)
    return found
