"""Predictions of a model on a split, as arrays that metrics read, and their file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file, save_file
from torch import Tensor, nn

from mubench.data import Columns, Stream
from mubench.engine import Engine
from mubench.files import write_atomically
from mubench.metrics.base import Outputs, Splits
from mubench.modalities.base import Modality


@torch.inference_mode()
def predict(
    model: nn.Module,
    columns: Columns,
    rows: np.ndarray | None,
    modality: Modality,
    expected: Any,
    engine: Engine,
    batch_size: int,
) -> Outputs:
    """Losses, targets and logits of a model in evaluation mode on some rows, in their order."""
    model.eval()
    at = torch.arange(len(columns)) if rows is None else torch.from_numpy(rows)
    losses: list[Tensor] = []
    targets: list[Tensor] = []
    logits: list[Tensor] = []
    for batch in Stream(columns, at, batch_size, engine.device).batches(None):
        with engine.autocast():
            scores = modality.logits(model, modality.prepare(batch, expected, None))
        logits.append(scores.float())
        losses.append(modality.losses(scores, batch.targets))
        targets.append(batch.targets)
    arrays = [torch.cat(parts).cpu().numpy() for parts in (losses, targets, logits)]
    return Outputs(*arrays)


def take(outputs: Outputs, rows: np.ndarray) -> Outputs:
    """The predictions of some rows."""
    return Outputs(*(getattr(outputs, item.name)[rows] for item in fields(Outputs)))


def save(splits: Splits, path: Path) -> None:
    """All splits in one safetensors file, atomically, arrays named `<split>.<field>`."""
    arrays = {
        f"{split}.{item.name}": np.ascontiguousarray(getattr(outputs, item.name))
        for split, outputs in splits.items()
        for item in fields(Outputs)
    }
    write_atomically(path, lambda temporary: save_file(arrays, temporary))


def load(path: Path) -> Mapping[str, Outputs]:
    """What `save` wrote."""
    arrays = load_file(path)
    names = {key.rpartition(".")[0] for key in arrays}
    return {
        split: Outputs(*(arrays[f"{split}.{item.name}"] for item in fields(Outputs)))
        for split in sorted(names)
    }
