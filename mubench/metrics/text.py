"""How near written texts come to the true ones: ROUGE (Lin, 2004) by the package rouge-score."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from mubench.metrics.base import Outputs, Unavailable, metric
from mubench.metrics.performance import losses
from mubench.metrics.tokens import BETTER

KINDS = ("rouge1", "rouge2", "rougeL")
PARTS = {"precision": 0, "recall": 1, "fmeasure": 2}


@lru_cache(maxsize=256)
def _scored(texts: tuple[str, ...], references: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Precision, recall and F measure of each pair, (M, 3), by kind; stemmed words."""
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(list(KINDS), use_stemmer=True)
    pairs = [scorer.score(true, text) for text, true in zip(texts, references, strict=True)]
    return {kind: np.array([pair[kind] for pair in pairs], dtype=np.float64) for kind in KINDS}


def rouge(outputs: Outputs, kind: str, part: str = "fmeasure") -> float:
    """The mean of one part of one kind of ROUGE over the sampled examples, in [0, 1]."""
    losses(outputs)
    if outputs.texts is None or outputs.references is None:
        raise Unavailable("no texts were generated: they are where evaluation.metrics names a ROUGE metric")
    if not outputs.texts:
        raise Unavailable("the sample of generated texts is empty")
    return float(_scored(outputs.texts, outputs.references)[kind][:, PARTS[part]].mean())


@metric(goal=BETTER, scope="split", reads="texts", source="Lin, 2004")
def rouge1(outputs: Outputs) -> float:
    """F measure of the words that a written and a true text share, in [0, 1]."""
    return rouge(outputs, "rouge1")


@metric(goal=BETTER, scope="split", reads="texts", source="Lin, 2004")
def rouge2(outputs: Outputs) -> float:
    """F measure of the pairs of adjacent words that a written and a true text share, in [0, 1]."""
    return rouge(outputs, "rouge2")


@metric(goal=BETTER, scope="split", reads="texts", source="Lin, 2004")
def rougeL(outputs: Outputs) -> float:  # noqa: N802
    """F measure of the longest common subsequence of a written and a true text, in [0, 1]."""
    return rouge(outputs, "rougeL")
