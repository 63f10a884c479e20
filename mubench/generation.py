"""What models write or paint for a sample of each split; kept beside the models that are shared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from mubench import evidence
from mubench.kept import once
from mubench.metrics.base import Outputs, Splits
from mubench.workbench import Workbench

Rows = Mapping[str, np.ndarray]  # of each split: rows of its columns that were predicted, in that order


def complete(
    bench: Workbench, splits: Splits, rows: Rows, model: Callable[[], nn.Module], kept: Path | None = None
) -> Splits:
    """The splits with what the model generates for up to `evaluation.generate` examples of each.

    `model` is asked for only if something has to be generated; a shared model's folder `kept` is
    looked into first, and filled.
    """
    return {name: _complete(bench, name, splits[name], rows[name], model, kept) for name in splits}


def _complete(
    bench: Workbench, split: str, outputs: Outputs, rows: np.ndarray, model: Callable[[], nn.Module],
    kept: Path | None,
) -> Outputs:  # fmt: skip
    settings = bench.config.settings
    sample = evidence.sample(len(rows), settings.evaluation.generate, settings.seed.eval)
    decides = f"{rows[sample].tolist()} {settings.seed.eval} {bench.config.resolved['modality']}"

    def make() -> Outputs:
        made = generate(bench, split, rows[sample], model())
        return replace(evidence.take(outputs, sample), sampled=sample, **made)

    return replace(outputs, sampled=sample, **_generated(once(kept, "", split, decides, make)))


def _generated(outputs: Outputs) -> dict[str, Any]:
    names = ("texts", "references", "features", "true_features", "class_probs", "similarity")
    return {name: getattr(outputs, name) for name in names}


@torch.inference_mode()
def generate(bench: Workbench, split: str, rows: np.ndarray, model: nn.Module) -> dict[str, Any]:
    """`Outputs` fields of some rows, batch by batch; draws come from seed.eval."""
    model.eval()
    generator = torch.Generator().manual_seed(bench.config.settings.seed.eval)
    found: dict[str, list[Any]] = {}
    for prepared in bench.batches(split, rows):
        with bench.engine.autocast():
            made = bench.modality.generate(model, prepared, bench.spec.input, generator)
        for name, values in made.items():
            found.setdefault(name, []).append(values)
    return {name: _joined(parts) for name, parts in found.items()}


def _joined(parts: list[Any]) -> Any:
    """Texts of all batches as one tuple, arrays as one array."""
    if isinstance(parts[0], tuple):
        return tuple(text for part in parts for text in part)
    return torch.cat([part.float().cpu() for part in parts]).numpy()
