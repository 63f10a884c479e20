"""F1 scores: of all classes alike, and of those that mean something."""

from __future__ import annotations

import numpy as np

from mubench.metrics.base import Goal, Outputs, Unavailable, metric
from mubench.metrics.performance import logits

GOALS: dict[str, Goal] = {
    "test": "higher", "validation": "higher", "retain": "higher", "ood": "higher", "forget": "match",
}  # fmt: skip


@metric(goal=GOALS, scope="split")
def macro_f1(outputs: Outputs) -> float:
    """Mean of the classes' F1, each class alike however rare, in [0, 1].

    F1 = 2 TP / (2 TP + FP + FN), over the classes that occur as a label or as a guess. On D_f the
    goal is the retrained model's value.
    """
    from sklearn.metrics import f1_score

    guesses = logits(outputs).argmax(axis=1)
    return float(f1_score(outputs.targets, guesses, average="macro", zero_division=0))


@metric(goal=GOALS, scope="split", reads="positives", source="DDI-2013 (Segura-Bedmar et al., 2013)")
def micro_f1(outputs: Outputs) -> float:
    """F1 of all classes but the negative one, counted together, in [0, 1].

    TP are examples of a positive class given that class; FP those given a positive class that is
    not theirs, FN those of a positive class not given it. The task names the negative class
    (`task.negative`); null where no example has or is given a positive class.
    """
    from sklearn.metrics import f1_score

    scores = logits(outputs)
    if outputs.negative is None:
        raise Unavailable("the task names no negative class")
    negative, guesses = int(outputs.negative[0]), scores.argmax(axis=1)
    if np.all(outputs.targets == negative) and np.all(guesses == negative):
        raise Unavailable("no example has or is given a positive class")
    positive = [c for c in range(scores.shape[1]) if c != negative]
    return float(f1_score(outputs.targets, guesses, labels=positive, average="micro", zero_division=0))
