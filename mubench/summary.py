"""What a record says of a run's data and forget set."""

from __future__ import annotations

from typing import Any

import numpy as np

from mubench.workbench import Workbench


def of_data(bench: Workbench) -> dict[str, Any]:
    """The data's identity, classes and sizes, and what its modality notes."""
    sizes = {name: len(columns) for name, columns in bench.columns.items()}
    facts = bench.data.facts
    known = {"identity": facts["identity"], "classes": len(bench.data.classes)}
    return {**known, **sizes, **facts.get("notes", {})}


def of_forget_set(bench: Workbench) -> dict[str, Any]:
    """Sizes, hash and chance levels: uniform, and the share of the most frequent class in D_f."""
    split = bench.split
    labels, classes = bench.data["train"].labels[split.forget], len(bench.data.classes)
    return {
        "size": len(split.forget),
        "retain": len(split.retain),
        "percent": split.ratio,
        "sha256": split.sha256,
        "chance_uniform": 1 / classes if classes else None,
        "chance_majority": float(np.bincount(labels).max() / len(labels)) if classes else None,
    }
