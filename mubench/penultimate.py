"""Features of a sample of examples: what goes into the layer that makes the scores, for D_f and test."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from mubench import anatomy, evidence
from mubench.errors import UsageError
from mubench.kept import once
from mubench.metrics.base import Outputs, Splits
from mubench.workbench import Workbench

SPLITS = ("forget", "test")
MOST = 256  # examples a split: of 768 features 0.8 MB, and similarities of models to about a hundredth


def complete(
    bench: Workbench,
    splits: Splits,
    rows: Mapping[str, np.ndarray],
    model: Callable[[], nn.Module],
    kept: Path | None = None,
) -> Splits:
    """The splits, D_f and test with `penultimate` features of up to 256 examples each.

    `model` is asked for only if something has to be computed; a shared model's folder `kept` is looked
    into first, and filled. A network whose scores come from no linear layer has no such features.
    """
    return {
        name: _completed(bench, name, outputs, rows[name], model, kept) if name in SPLITS else outputs
        for name, outputs in splits.items()
    }


def _completed(
    bench: Workbench, split: str, outputs: Outputs, rows: np.ndarray, model: Callable[[], nn.Module],
    kept: Path | None,
) -> Outputs:  # fmt: skip
    sample = evidence.sample(len(rows), MOST, bench.config.settings.seed.eval)

    def make() -> Outputs:
        found = features(bench, split, rows[sample], model())
        return Outputs(outputs.losses[sample], outputs.targets[sample], penultimate=found)

    found = once(kept, "penultimate-", split, rows[sample].tolist(), make)
    return replace(outputs, probed=sample, penultimate=found.penultimate)


@torch.inference_mode()
def features(bench: Workbench, split: str, rows: np.ndarray, model: nn.Module) -> np.ndarray | None:
    """What goes into the last layer for some rows, (M, D) float32; None where no such layer is called."""
    model.eval()
    try:
        layer = anatomy.last_layer(model, bench.classes, bench.adapter.added(model))
    except UsageError:
        return None
    seen: list[Tensor] = []
    hook = layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    parts: list[Tensor] = []
    try:
        with _uncompiled(bench):
            for prepared in bench.batches(split, rows):
                with bench.engine.autocast():
                    bench.modality.logits(model, prepared)
                parts += [bench.modality.penultimate(inputs.float(), prepared).cpu() for inputs in seen[-1:]]
                seen.clear()
    finally:
        hook.remove()
    return torch.cat(parts).numpy() if parts else None


def _uncompiled(bench: Workbench) -> AbstractContextManager[object]:
    """Inside, a compiled network runs as it was written, hooks and all; asking for it takes seconds."""
    if not bench.config.settings.trainer.compile:
        return nullcontext()
    stance: AbstractContextManager[object] = torch.compiler.set_stance("force_eager")
    return stance
