"""What is worked out of a shared model once, and kept in its folder."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from mubench import evidence
from mubench.metrics.base import Outputs


def once(folder: Path | None, kind: str, split: str, decides: object, make: Callable[[], Outputs]) -> Outputs:
    """What `make` gives of a split: read if it was kept before, else made now, and kept if there is a folder.

    `decides` is what it depends on besides the model, `kind` sets it apart from what else is kept.
    """
    if folder is None:
        return make()
    digest = hashlib.sha256(str(decides).encode()).hexdigest()[:12]
    path = folder / f"{kind}{split}-{digest}.safetensors"
    if not path.is_file():
        evidence.save({split: make()}, path)
    return evidence.load(path)[split]
