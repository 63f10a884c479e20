"""How far a run's models are apart in weight space, weight by weight."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from torch import Tensor, nn

from mubench.metrics.base import Distances
from mubench.workbench import Workbench


def measure(bench: Workbench, model: nn.Module, shared: Mapping[str, Path]) -> Distances | None:
    """Squared distances between the unlearned network and the shared ones in their folders, of each pair.

    An adapter's updates count as part of the weights. None, and a warning, where a weight of the
    unlearned network is not the others' by name and shape.
    """
    network = bench.adapter.merged(model) if bench.adapter.added(model) else model
    own = dict(network.named_parameters())
    readers = {role: _Stored(folder / "model.safetensors") for role, folder in shared.items()}
    found: dict[str, list[float]] = {}
    for name, weight in own.items():
        stored = {role: reader.weight(name) for role, reader in readers.items()}
        values = {role: value for role, value in stored.items() if value is not None}
        if len(values) < len(stored) or any(value.shape != weight.shape for value in values.values()):
            bench.reporter.warn(f"no distances of weights: '{name}' is not a weight of every model")
            return None
        for pair, squared in _squares({**values, "unlearned": weight.detach().cpu()}):
            found.setdefault(pair, []).append(squared)
    return Distances(tuple(own), {pair: np.array(values) for pair, values in found.items()})


def _squares(values: Mapping[str, Tensor]) -> Iterator[tuple[str, float]]:
    for first, second in combinations(sorted(values), 2):
        apart = values[first].double() - values[second].double()
        yield f"{first}-{second}", float(apart.square().sum())


class _Stored:
    """A model's file, read weight by weight: a whole network of each would fill the memory."""

    def __init__(self, path: Path) -> None:
        opened: Any = safe_open
        self.file = opened(path, "pt")
        self.names: set[str] = set(self.file.keys())
        self.shared: dict[str, str] = self.file.metadata() or {}

    def weight(self, name: str) -> Tensor | None:
        """A weight by its name; one that several parts share has another's."""
        known = name if name in self.names else self.shared.get(name)
        found: Tensor | None = self.file.get_tensor(known) if known in self.names else None
        return found
