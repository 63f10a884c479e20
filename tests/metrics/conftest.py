"""Predictions of every role on every split, and of four shadow models of each kind."""

from __future__ import annotations

import pytest
from predictions_by_hand import another_model, random_outputs

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
def others(evidence):
    """Shadow models: of the same examples, with other noise."""
    return {
        role: [
            {name: another_model(like, 50 + k, shift if name == "forget" else 1.0)
             for name, like in evidence["unlearned"].items()}
            for k in range(4)
        ]
        for role, shift in (("original", 2.0), ("retrained", 1.0))
    }  # fmt: skip


@pytest.fixture
def view(evidence, others) -> View:
    return View("unlearned", evidence, others=others)
