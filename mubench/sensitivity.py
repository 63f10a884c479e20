"""How far each example pulls at the weights: norms of its loss's gradient, of D_f and unseen examples."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from mubench import anatomy, gradients
from mubench.kept import once
from mubench.metrics.base import Outputs, Splits, Unavailable, View
from mubench.workbench import Workbench


def complete(
    bench: Workbench,
    splits: Splits,
    rows: Mapping[str, np.ndarray],
    model: Callable[[], nn.Module],
    kept: Path | None = None,
) -> Splits:
    """The splits, D_f and the non-members beside it with `gradient_norms`.

    `model` is asked for only if something has to be computed; a shared model's folder `kept` is looked
    into first, and filled. Where the task has no non-members nothing is computed.
    """
    try:
        others = View("any", {"any": splits}).outside()
    except Unavailable:
        return splits
    found = {name: _norms(bench, name, splits[name], rows[name], model, kept) for name in ("forget", others)}
    return {**splits, **found}


def _norms(
    bench: Workbench, split: str, outputs: Outputs, rows: np.ndarray, model: Callable[[], nn.Module],
    kept: Path | None,
) -> Outputs:  # fmt: skip
    def make() -> Outputs:
        found = norms(bench, split, rows, model())
        return Outputs(outputs.losses, outputs.targets, gradient_norms=found)

    found = once(kept, "norms-", split, rows.tolist(), make)
    return replace(outputs, gradient_norms=found.gradient_norms)


def norms(bench: Workbench, split: str, rows: np.ndarray, model: nn.Module) -> np.ndarray:
    """The Euclidean norm (N,) float32 of each example's gradient by all of the model's own weights.

    An adapter's weights are left out: of a layer beside which it stands, the gradient by the layer's own
    weights is that by their sum, so norms compare with those of a model without an adapter.
    """
    model.eval()
    with anatomy.all_moving_but(model, bench.adapter.added(model)):
        parts = gradients.per_example(model, bench.modality, bench.batches(split, rows))
        found = [gradients.norms(part).float().cpu() for part in parts]
    return torch.cat(found).numpy()
