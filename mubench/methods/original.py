"""The original model as it is: the row without unlearning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from mubench.methods.base import Method
from mubench.run import Run


@dataclass
class Original(Method):
    """Leaves every weight where it was."""

    needs: ClassVar[frozenset[str]] = frozenset()
    trains: ClassVar[bool] = False
    moves: ClassVar[Literal["all", "some", "none"]] = "none"
    formula: ClassVar[str] = "w = w0"

    def unlearn(self, run: Run) -> None:
        """Nothing to do."""
