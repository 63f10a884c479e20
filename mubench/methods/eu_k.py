"""EU-k: the last blocks retrained on D_r from fresh weights (Goel et al., 2201.06640)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mubench.methods.cf_k import CFk
from mubench.methods.renewal import renew
from mubench.run import Run


@dataclass
class EUk(CFk):
    """CF-k whose last k blocks and head begin afresh.

    The statistics of their normalisations begin afresh too. Under an adapter it is the updates
    that do.
    """

    formula: ClassVar[str] = "min mean CE on D_r over the last k blocks and the head, freshly initialised"

    def unlearn(self, run: Run) -> None:
        """Forget what the last blocks know, then train them."""
        renew(run, self.names(run))
        super().unlearn(run)
