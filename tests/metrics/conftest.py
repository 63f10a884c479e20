"""Predictions of every role on every split."""

from __future__ import annotations

import pytest
from predictions_by_hand import random_outputs

from mubench.metrics.base import View


@pytest.fixture
def evidence():
    """Every role on every split; D_f (1,200) is larger than test (1,100)."""

    def role(seed, forget_shift):
        return {
            "test": random_outputs(1100, 1, 1.0),
            "validation": random_outputs(300, 2, 1.0),
            "retain": random_outputs(1500, 3, 2.0),
            "forget": random_outputs(1200, seed, forget_shift),
        }

    return {
        "original": role(4, 2.0),
        "unlearned": role(4, 0.5),
        "retrained": role(4, 1.0),
        "incompetent": {"forget": random_outputs(1200, 4, 0.0)},
    }


@pytest.fixture
def view(evidence) -> View:
    return View("unlearned", evidence)
