"""What a method is: facts about it, hyper-parameters, and a loss or a whole procedure."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal

from torch import Tensor

from mubench.run import Run, StreamName
from mubench.training import Hooks


@dataclass
class Method:
    """Subclasses are dataclasses whose fields are the hyper-parameters of their yaml."""

    name: str = ""

    stream: ClassVar[StreamName] = "forget"  # what `loss` is given, batch by batch
    needs: ClassVar[frozenset[str]] = frozenset({"forget"})  # sets it reads: forget, retain, validation
    # What it is limited to: modalities by name (image), or by what they give (classes, tokens); any.
    families: ClassVar[frozenset[str]] = frozenset({"any"})
    starts_from: ClassVar[Literal["original", "retrained"]] = "original"
    ascends: ClassVar[bool] = False  # gradient ascent: MU-Bench's `overall` tolerates more

    @property
    def reads(self) -> frozenset[str]:
        """The sets that this setting of the method reads; any other may be absent."""
        return self.needs

    def prepare(self, run: Run) -> None:
        """Work before the first step (masks, teachers); its time is counted, and listed apart."""

    def loss(self, run: Run, batch: object) -> Tensor:
        """The scalar to descend on one batch of `stream`: a Batch, or a Paired for "paired"."""
        raise NotImplementedError(f"{type(self).__name__} has neither a loss nor an unlearn")

    def after_backward(self, run: Run) -> None:
        """Change the gradients, before they are clipped."""

    def after_step(self, run: Run) -> None:
        """Change the weights, after the optimizer moved them."""

    def hooks(self, run: Run) -> Hooks:
        """The method's hooks, as the loop calls them."""
        return Hooks(partial(self.after_backward, run), partial(self.after_step, run))

    def unlearn(self, run: Run) -> None:
        """Move `run.model`; by default the recipe's epochs over `stream` under `loss`."""
        run.fit(self.stream, lambda batch: self.loss(run, batch))
