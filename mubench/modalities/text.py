"""Texts and their class: token ids in columns of one width, cut to the longest text of a batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from mubench.data import Batch
from mubench.errors import UsageError
from mubench.modalities import signals, tokens
from mubench.modalities.base import BrokenRow, Fields
from mubench.modalities.classification import Classification
from mubench.modalities.signals import Signal
from mubench.schema import one_of


@dataclass(frozen=True)
class TextSpec:
    """What a network must be built for: its tokens, the id that pads, the longest text in tokens."""

    vocabulary: int
    padding: int
    longest: int


@dataclass
class Text(Classification):
    """Classification of texts."""

    max_length: int = 256  # in tokens, [CLS] and [SEP] among them; what is longer is cut off

    fields: ClassVar[tuple[str, ...]] = ("text",)

    def __post_init__(self) -> None:
        one_of("modality.augment", self.augment, ("none",))
        if self.max_length < 3:
            raise UsageError(f"modality.max_length={self.max_length} leaves no room for a text")

    def encoder(self, model: Mapping[str, Any]) -> dict[str, Any]:
        """The tokenizer, and where texts are cut."""
        return {**super().encoder(model), **tokens.identity(model), "max_length": self.max_length}

    def learn(self, train: Fields, model: Mapping[str, Any], folder: Path) -> None:
        """The model's tokenizer, or one learned from the training texts."""
        # A row without a text is named when it is encoded.
        tokens.learn((text for text in train["text"] if isinstance(text, str)), model, folder)
        most = tokens.load(folder).model_max_length
        if self.max_length > most:
            raise UsageError(
                f"modality.max_length={self.max_length}: model '{model.get('name')}' takes {most} tokens"
            )

    def encode(self, rows: Fields, folder: Path) -> dict[str, Tensor]:
        """{"input_ids": (n, max_length) int32, padded on the right; "length": (n,) int32 in tokens}."""
        texts = list(rows["text"])
        for place, text in enumerate(texts):
            if not isinstance(text, str):
                raise BrokenRow(place, f"the text is {type(text).__name__}, not a string")
            if not text.strip():
                raise BrokenRow(place, "the text is empty")
        encoded = tokens.load(folder)(
            texts, padding="max_length", padding_side="right", truncation=True, max_length=self.max_length,
            return_attention_mask=True, return_tensors="pt",
        )  # fmt: skip
        lengths = encoded["attention_mask"].sum(dim=1, dtype=torch.int32)
        return {"input_ids": encoded["input_ids"].to(torch.int32), "length": lengths}

    def facts(self, train: Mapping[str, Tensor], folder: Path) -> dict[str, Any]:
        """The number of tokens and the id that pads."""
        tokenizer = tokens.load(folder)
        return {"vocabulary": len(tokenizer), "padding": tokenizer.pad_token_id}

    def expects(self, model: Mapping[str, Any], facts: Mapping[str, Any]) -> TextSpec:
        """The tokenizer's sizes, and the longest text."""
        return TextSpec(facts["vocabulary"], facts["padding"], self.max_length)

    def shape(self, expected: TextSpec) -> dict[str, int]:
        """Tokens, padding, and positions: RoBERTa's start behind the id that pads."""
        return {
            "vocab_size": expected.vocabulary,
            "pad_token_id": expected.padding,
            "max_position_embeddings": expected.longest + expected.padding + 1,
        }

    def prepare(self, batch: Batch, expected: TextSpec, generator: torch.Generator | None) -> Batch:
        """{"input_ids", "attention_mask"}: (B, T) int64, T the tokens of the batch's longest text."""
        lengths = batch.inputs["length"]
        longest = int(lengths.max())
        place = torch.arange(longest, device=lengths.device)
        mask = (place < lengths[:, None]).long()
        return replace(
            batch, inputs={"input_ids": batch.inputs["input_ids"][:, :longest].long(), "attention_mask": mask}
        )

    def signal(self, model: nn.Module, batch: Batch) -> Signal:
        """The embeddings (B, T, D) of the tokens."""
        words = signals.words(model)(batch.inputs["input_ids"])
        return signals.of(words, batch.inputs["attention_mask"][..., None])

    def logits_at(self, model: nn.Module, batch: Batch, values: Tensor) -> Tensor:
        """The scores where the tokens have these embeddings."""
        with signals.heard(model, values):
            return self.logits(model, batch)

    def own(self, model: nn.Module, batch: Batch, part: nn.Module) -> Tensor | None:
        """The tokens that are not padding."""
        return batch.inputs["attention_mask"].bool()
