"""How language models of transformers are shown an answer behind a prompt, and write one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from mubench.modalities.token_ids import IGNORED


def scores(model: nn.Module, prompts: Tensor, mask: Tensor, labels: Tensor) -> Tensor:
    """Scores (B, T, V) at the places that predict the labels (B, T), each after the true ones before it.

    Prompts (B, P) with their mask: padded on the left for a decoder alone.
    """
    config: Any = model.config
    run = _behind_encoder if config.is_encoder_decoder else _decoder_alone
    return run(model, prompts, mask, labels)


def _decoder_alone(model: nn.Module, prompts: Tensor, mask: Tensor, labels: Tensor) -> Tensor:
    """One forward over prompt and answer; the head only where label tokens are predicted."""
    ids = torch.cat([prompts, labels[:, :-1].clamp_min(0)], dim=1)
    mask = torch.cat([mask, (labels[:, :-1] != IGNORED).long()], dim=1)
    places = (mask.cumsum(dim=1) - 1).clamp_min(0)
    kept = labels.shape[1]
    output = model(
        input_ids=ids, attention_mask=mask, position_ids=places, logits_to_keep=kept, use_cache=False
    )
    found: Tensor = output.logits[:, -kept:]
    return found


def _behind_encoder(model: nn.Module, prompts: Tensor, mask: Tensor, labels: Tensor) -> Tensor:
    """The decoder sees the answer one token later, behind its start token."""
    start = torch.full_like(labels[:, :1], start_token(model))
    shifted = torch.cat([start, labels[:, :-1].clamp_min(0)], dim=1)
    output = model(input_ids=prompts, attention_mask=mask, decoder_input_ids=shifted, use_cache=False)
    found: Tensor = output.logits
    return found


def seen(model: nn.Module, mask: Tensor, labels: Tensor, part: nn.Module) -> Tensor:
    """Which tokens, that a part of the model works on, are no padding: (B, P), (B, T), or both in one.

    A decoder alone has prompt and answer in one sequence. An answer's last token predicts nothing: whether
    the network is shown it depends on how long the batch's other answers are.
    """
    network: Any = model
    shown = labels[:, 1:] != IGNORED
    if not network.config.is_encoder_decoder:
        return torch.cat([mask.bool(), shown], dim=1)
    if any(module is part for module in network.get_decoder().modules()):
        return torch.cat([torch.ones_like(labels[:, :1], dtype=torch.bool), shown], dim=1)
    return mask.bool()


def start_token(model: nn.Module) -> int:
    """The token that a decoder behind an encoder starts from: the checkpoint's, else padding (T5)."""
    config: Any = model.config
    for place in (config, getattr(model, "generation_config", None)):
        number = getattr(place, "decoder_start_token_id", None)
        if number is not None:
            return int(number)
    return int(config.pad_token_id)


@torch.no_grad()
def write(
    model: nn.Module, prompts: Tensor, mask: Tensor, special: Mapping[str, int], longest: int
) -> Tensor:
    """The likeliest token after each one before it, (B, up to `longest`), until a text has ended."""
    config: Any = model.config
    generate: Any = model.generate
    both = config.is_encoder_decoder
    start = {"decoder_start_token_id": start_token(model)} if both else {}
    with _quiet():  # it takes rows that have ended for rows whose mask is missing
        written: Tensor = generate(
            inputs=prompts, attention_mask=mask, generation_config=_greedy(longest, {**special, **start})
        )
    return written[:, 1 if both else prompts.shape[1] :]


@contextmanager
def _quiet() -> Iterator[None]:
    """Transformers says nothing below an error inside."""
    from transformers.utils import logging

    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)


def _greedy(longest: int, special: Mapping[str, int]) -> Any:
    """Greedy decoding, whatever a checkpoint's own settings are."""
    from transformers import GenerationConfig

    return GenerationConfig(
        max_new_tokens=longest, do_sample=False, num_beams=1, use_cache=True,
        temperature=1.0, top_p=1.0, top_k=50, repetition_penalty=1.0, no_repeat_ngram_size=0, **special,
    )  # fmt: skip
