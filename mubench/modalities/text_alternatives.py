"""Questions whose answers also stand in other words, and wrongly: what TOFU's truth ratio compares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from mubench.data import Batch
from mubench.modalities import token_ids
from mubench.modalities.base import BrokenRow, Fields
from mubench.modalities.text_generation import TextGeneration
from mubench.modalities.token_ids import IGNORED


@dataclass
class TextAlternatives(TextGeneration):
    """Text generation with a paraphrase and up to `alternatives` false answers for some of the rows."""

    alternatives: int = 5

    fields: ClassVar[tuple[str, ...]] = ("prompt", "answer", "paraphrase", "perturbed")
    gives: ClassVar[frozenset[str]] = TextGeneration.gives | {"alternatives"}

    def encoder(self, model: Mapping[str, Any]) -> dict[str, Any]:
        """Also how many false answers a row has room for."""
        return {**super().encoder(model), "alternatives": self.alternatives}

    def encode(self, rows: Fields, folder: Path) -> dict[str, Tensor]:
        """Also "alternatives": (n, 1 + K, A) int32, the paraphrase first; -100 alone where there is none."""
        columns = super().encode(rows, folder)
        shape = (len(columns["targets"]), 1 + self.alternatives, self.max_answer)
        found = torch.full(shape, IGNORED, dtype=torch.int32)
        for place, (paraphrase, false) in enumerate(zip(rows["paraphrase"], rows["perturbed"], strict=True)):
            if paraphrase is None and not false:
                continue
            if len(false) > self.alternatives:
                raise BrokenRow(place, f"it has {len(false)} false answers, more than {self.alternatives}")
            try:
                texts = [
                    *token_ids.texts([paraphrase], "paraphrase"),
                    *token_ids.texts(false, "false answer"),
                ]
            except BrokenRow as error:
                raise BrokenRow(place, error.wrong) from error
            found[place, : len(texts)] = self.answers(texts, folder).to(torch.int32)
        return {**columns, "alternatives": found}

    def more_predictions(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """`alternatives` (B, 1 + K): their mean log-probability per token, NaN where there is none."""
        given = batch.inputs["alternatives"].long()
        rows, places = (given != IGNORED).any(dim=-1).nonzero(as_tuple=True)
        found = torch.full(given.shape[:2], float("nan"), device=given.device)
        for start in range(0, len(rows), len(batch)):
            some, at = rows[start : start + len(batch)], places[start : start + len(batch)]
            inputs = {name: batch.inputs[name][some] for name in ("prompt_ids", "prompt_mask")}
            asked = Batch(inputs, given[some, at], batch.index[some])
            found[some, at] = -self.losses(self.logits(model, asked), asked.targets)
        return {"alternatives": found}
