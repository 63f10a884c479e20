"""Predictions of a model on a split, as arrays that metrics read."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mubench.data import Columns, Stream
from mubench.engine import Engine
from mubench.metrics.base import Outputs
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
    negative: int | None = None,
    foreign: bool = False,
) -> Outputs:
    """What a model in evaluation mode predicts for some rows, in their order.

    `negative` is the class that means none of the others, for the metrics that ask for it; `foreign`
    tells them that the rows are not drawn as the training set's are.
    """
    model.eval()
    at = torch.arange(len(columns)) if rows is None else torch.from_numpy(rows)
    parts: dict[str, list[Tensor]] = defaultdict(list)
    for batch in Stream(columns, at, batch_size, engine.device).batches(None):
        prepared = modality.prepare(batch, expected, None)
        with engine.autocast():
            scores = modality.logits(model, prepared)
            more = modality.more_predictions(model, prepared)
        losses = modality.losses(scores, prepared.targets)
        for name, values in {"losses": losses, **modality.predictions(scores, prepared), **more}.items():
            parts[name].append(values)
    arrays: dict[str, Any] = {name: torch.cat(values).cpu().numpy() for name, values in parts.items()}
    if negative is not None:
        arrays["negative"] = np.array([negative])
    if foreign:
        arrays["foreign"] = np.array([True])
    return Outputs(**arrays)
