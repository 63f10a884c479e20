"""SCRUB: away from the original on D_f, towards it on D_r, in turns (Kurmanji et al., 2302.09880)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from mubench.data import Batch
from mubench.methods.base import Method
from mubench.run import Run, StreamName
from mubench.schema import within


@dataclass
class Scrub(Method):
    """Max passes: -KL(p_w0 || p_w) on D_f; min passes: alpha KL(p_w0 || p_w) + gamma CE on D_r.

    The first `msteps` epochs are a max pass and then a min pass, the others a min pass alone. KL is
    scaled by the temperature squared, as in distillation. With `rewind` (SCRUB+R) the epoch is kept whose
    error on D_f is nearest to the final model's on validation data of the same labels.
    """

    alpha: float = 0.5  # pull towards the original on D_r
    gamma: float = 1.0  # weight of the task's own loss on D_r
    temperature: float = 4.0
    msteps: int = 2  # epochs that begin with a max pass
    rewind: bool = False  # end with the epoch whose forget error is nearest to validation's

    needs: ClassVar[frozenset[str]] = frozenset({"forget", "retain"})
    source: ClassVar[tuple[str, ...]] = ("kurmanji2023",)
    distils: ClassVar[bool] = True
    alternates: ClassVar[bool] = True
    formula: ClassVar[str] = (
        "max passes: min -mean T^2 KL(p_w0 || p_w) on D_f; "
        "min passes: min alpha mean T^2 KL(p_w0 || p_w) + gamma mean CE on D_r"
    )
    memory: ClassVar[str] = (
        "a copy of the weights and up to 256 MiB of its scores; with rewind a copy an epoch on the host"
    )

    def __post_init__(self) -> None:
        within("method.temperature", self.temperature, 0, 1e3, "(]")
        within("method.msteps", self.msteps, 0, 1e6)

    @property
    def reads(self) -> frozenset[str]:
        """Rewinding looks at validation data too."""
        return self.needs | ({"validation"} if self.rewind else frozenset())

    def prepare(self, run: Run) -> None:
        """The teacher is the original, frozen."""
        self._teacher = run.original

    def maximise(self, run: Run, batch: Batch) -> Tensor:
        """Minus the divergence from the original, on D_f."""
        return -run.reduce(self._distance(run, batch, run.logits(batch)), "forget")

    def minimise(self, run: Run, batch: Batch) -> Tensor:
        """Divergence from the original and the task's loss, on D_r."""
        logits = run.logits(batch)
        distance = run.reduce(self._distance(run, batch, logits), "retain")
        task = run.reduce(run.modality.losses(logits, batch.targets), "task")
        return self.alpha * distance + self.gamma * task

    def _distance(self, run: Run, batch: Batch, logits: Tensor) -> Tensor:
        return self.temperature**2 * run.divergence(batch, self._teacher, self.temperature, logits)

    def unlearn(self, run: Run) -> None:
        """Passes in turns, under one optimizer."""

        def up(batch: Any) -> Tensor:
            return self.maximise(run, batch)

        def down(batch: Any) -> Tensor:
            return self.minimise(run, batch)

        epochs = run.recipe.epochs
        passes: list[tuple[StreamName | str, Any]] = []
        for epoch in range(epochs):
            passes += [("forget", up)] if epoch < self.msteps else []
            passes += [("retain", down)]
        if self.rewind:
            self._fit_and_rewind(run, passes)
        else:
            run.fit_passes(passes)

    def _fit_and_rewind(self, run: Run, passes: list[tuple[StreamName | str, Any]]) -> None:
        """Keep every epoch's weights; the final model's validation error says which to return to."""
        epochs: list[tuple[float, dict[str, Tensor]]] = []

        def keep(number: int) -> None:
            if passes[number][0] == "retain":
                weights = {n: w.to("cpu", copy=True) for n, w in run.model.state_dict().items()}
                epochs.append((run.error("forget"), weights))

        run.fit_passes(passes, after_pass=keep)
        if epochs:
            target = run.error("validation", labels_of="forget")
            run.model.load_state_dict(min(epochs, key=lambda epoch: abs(epoch[0] - target))[1])
