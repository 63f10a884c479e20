"""A run whose models, with gradients and what optimizers keep, are shared out over processes (FSDP)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import NoReturn

import torch
from torch import Tensor, nn

from mubench import processes
from mubench.data import Batch, Stream
from mubench.errors import NotApplicable
from mubench.gradients import Judged, Score
from mubench.layout import laid_out
from mubench.run import Run


class ShardedRun(Run):
    """All that a method sees; every process takes every forward with the others, its own rows in it."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.model = laid_out(self.model)

    @cached_property
    def original(self) -> nn.Module:
        """The model before unlearning: frozen, in evaluation mode. Read it before the first step."""
        if self._fits:
            raise RuntimeError("run.original must be read before the model moves")
        twin = laid_out(self.attach(self._fresh()))
        twin.load_state_dict(self.model.state_dict())
        return twin.requires_grad_(False).eval()

    def fresh_model(self) -> nn.Module:
        """The same architecture, every parameter freshly initialised: frozen, in evaluation mode."""
        return laid_out(super().fresh_model())

    def fresh_weights(self) -> dict[str, Tensor]:
        """Weights and buffers of a freshly initialised network by the model's own names, in parts."""
        return laid_out(self.attach(self._fresh())).state_dict()

    def logits(self, batch: Batch, model: nn.Module | None = None) -> Tensor:
        """Scores of the model, or of a teacher; computed each time, since all processes must ask together."""
        if model is None:
            return super().logits(batch)
        with torch.no_grad():
            return self.modality.logits(model, batch)

    def error(self, name: str, labels_of: str | None = None) -> float:
        """The mean error on a set; every process finds the same."""
        return self._error(name, labels_of)

    def gradients(self, source: str | Stream) -> dict[str, Tensor]:
        """Not to be had."""
        self._refuse("gradients")

    def per_example(
        self, source: str | Stream, score: Score | None = None, judged: Judged | None = None
    ) -> Iterator[dict[str, Tensor]]:
        """Not to be had."""
        self._refuse("per_example")

    def _refuse(self, name: str) -> NoReturn:
        raise NotApplicable(f"run.{name} needs whole weights: not under --use_fsdp (docs/processes.md)")


def kind() -> type[Run]:
    """The kind of run that this command's processes carry out."""
    return ShardedRun if processes.sharded() else Run
