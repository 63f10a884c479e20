"""Predictions of a model on a split, as arrays that metrics read."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mubench import processes
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

    Processes share out the batches, which are those of one process, and all get the predictions of all.
    `negative` is the class that means none of the others, for the metrics that ask for it; `foreign`
    tells them that the rows are not drawn as the training set's are.
    """
    model.eval()
    at = torch.arange(len(columns)) if rows is None else torch.from_numpy(rows)
    own: list[tuple[int, dict[str, Tensor]]] = []
    for number, batch in Stream(columns, at, batch_size, engine.device).shared_out():
        prepared = modality.prepare(batch, expected, None)
        with engine.autocast():
            scores = modality.logits(model, prepared)
            more = modality.more_predictions(model, prepared)
        losses = modality.losses(scores, prepared.targets)
        own.append((number, {"losses": losses, **modality.predictions(scores, prepared), **more}))
    parts = _in_order(own)
    arrays: dict[str, Any] = {
        name: torch.cat([part[name] for part in parts]).cpu().numpy() for name in (parts[0] if parts else ())
    }
    if negative is not None:
        arrays["negative"] = np.array([negative])
    if foreign:
        arrays["foreign"] = np.array([True])
    return Outputs(**arrays)


def _in_order(own: list[tuple[int, dict[str, Tensor]]]) -> list[dict[str, Tensor]]:
    """What every batch gave, from this process's and the others'."""
    if processes.count() > 1:
        on_host = [(number, {k: v.cpu() for k, v in part.items()}) for number, part in own]
        own = sorted(dict(processes.gathered(on_host)).items())  # one may be there more than once
    assert [number for number, _ in own] == list(range(len(own)))
    return [part for _, part in own]
