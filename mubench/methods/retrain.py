"""Training again from the same starting weights on D_r only: exact unlearning, the reference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from mubench.methods.base import Method
from mubench.run import Run


@dataclass
class Retrain(Method):
    """Takes the retrained model that serves as every method's reference; its training is the cost.

    It is trained once under the task's own recipe, body and head, and shared by all runs of the same forget
    set and training seed: the method's time is that training's.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"retain"})
    starts_from: ClassVar[Literal["original", "retrained"]] = "retrained"
    trains: ClassVar[bool] = False
    moves: ClassVar[Literal["all", "some", "none"]] = "none"  # beyond the retrained model's
    formula: ClassVar[str] = "min mean CE(D_r), from the weights that the original started from"

    def unlearn(self, run: Run) -> None:
        """The training was done under the task's own recipe; nothing is left to do."""
