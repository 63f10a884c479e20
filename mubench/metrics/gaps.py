"""|m_u - m_r|: how far a metric of one split is from the retrained model's value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mubench.metrics.base import METRICS, Outputs, Reads, View, metric
from mubench.metrics.f1 import macro_f1, micro_f1
from mubench.metrics.performance import mean_loss, share_correct
from mubench.metrics.pictures import clip_score, fid
from mubench.metrics.text import rougeL
from mubench.metrics.tofu import truth_ratio
from mubench.metrics.tokens import exact_memorisation, extraction_strength, label_probability, token_accuracy

SPLITS = ("test", "forget", "retain", "validation")


def _declare(split: str, quantity: str, measure: Callable[[Outputs], Any], reads: Reads) -> None:
    """Declare `gap_<split>_<quantity>`: each is null on its own where its split is missing."""

    def gap(view: View) -> float:
        return float(abs(measure(view.outputs(split)) - measure(view.outputs(split, "retrained"))))

    gap.__name__ = gap.__qualname__ = f"gap_{split}_{quantity}"
    gap.__doc__ = f"|{split} {quantity} - the retrained model's|, at least 0."
    metric(goal="lower", scope="relative", needs=("retrained",), reads=reads)(gap)


for _split in SPLITS:
    _declare(_split, "accuracy", share_correct, "classes")
    _declare(_split, "loss", mean_loss, "losses")
    _declare(_split, "rougeL", rougeL, "texts")
for _measure in (macro_f1, micro_f1, label_probability, token_accuracy, truth_ratio, clip_score, fid):
    for _split in ("test", "forget"):
        _declare(_split, _measure.__name__, _measure, METRICS[_measure.__name__].reads)
for _measure in (exact_memorisation, extraction_strength):
    _declare("forget", _measure.__name__, _measure, METRICS[_measure.__name__].reads)
