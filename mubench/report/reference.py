"""What a record tells beside its metrics of the models it is measured by: their signal, and layers apart."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rich.table import Table

from mubench.evidence import load_distances
from mubench.metrics.base import Unavailable
from mubench.metrics.signal import BEYOND, SUPPRESSED
from mubench.metrics.weights import by_layer

PAIRS = (("unlearned", "retrained"), ("unlearned", "original"), ("original", "retrained"))
SIGNALS = {"signal_forget_accuracy": "accuracy", "signal_forget_loss": "loss"}


def doubt(relative: Mapping[str, float | None]) -> str | None:
    """A sentence where no signal on D_f is beyond noise: then no method can be told from doing nothing."""
    known = {SIGNALS[name]: value for name in SIGNALS if (value := relative.get(name)) is not None}
    if not known or max(known.values()) >= BEYOND:
        return None
    shown = " and ".join(f"{value:.2g} times its noise in {name}" for name, value in known.items())
    return (
        f"original and retrained model hardly differ on D_f ({shown}): it tells no method from doing nothing"
    )


def suppressed(reasons: Mapping[str, str]) -> list[str]:
    """Ratios without a value because original and retrained model do not differ beyond noise."""
    return [name.rpartition(".")[2] for name, reason in reasons.items() if SUPPRESSED in reason]


def layers(folder: Path) -> Table | None:
    """How far each layer's weights are apart between the run's models; None where that is not stored."""
    distances = load_distances(folder)
    if distances is None:
        return None
    columns: dict[str, dict[str, float]] = {}
    for first, second in PAIRS:
        try:
            columns[f"{first} - {second}"] = by_layer(distances, first, second)
        except Unavailable:
            continue
    table = Table("weights by layer", title_justify="left")
    for name in columns:
        table.add_column(name, justify="right")
    for layer in next(iter(columns.values()), {}):
        table.add_row(layer, *(f"{values[layer]:.4g}" for values in columns.values()))
    return table
