"""Bad teaching: D_f from a random teacher, D_r from the original (Chundawat et al., 2205.08096)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from mubench.data import Paired
from mubench.methods.base import Method
from mubench.run import Run, StreamName
from mubench.schema import within


@dataclass
class BadTeaching(Method):
    """min mean KL(p_bad || p_w) on D_f + mean KL(p_w0 || p_w) on as many examples of D_r."""

    temperature: float = 1.0  # above 1 the teachers' smaller probabilities count for more

    stream: ClassVar[StreamName] = "paired"
    needs: ClassVar[frozenset[str]] = frozenset({"forget", "retain"})
    source: ClassVar[tuple[str, ...]] = ("chundawat2023",)
    distils: ClassVar[bool] = True
    formula: ClassVar[str] = (
        "min mean KL(p_bad || p_w) on D_f + mean KL(p_w0 || p_w) on as many examples of D_r, "
        "p_bad of the same architecture, every parameter fresh"
    )
    memory: ClassVar[str] = (
        "two copies of the weights, up to 256 MiB of each one's scores, and activations of twice a batch"
    )

    def __post_init__(self) -> None:
        within("method.temperature", self.temperature, 0, 1e3, "(]")

    def acts(self, setting: str, gives: frozenset[str], classes: int) -> bool:
        """There is nothing to heat in predicted noise."""
        return setting != "temperature" or bool(gives & {"classes", "tokens"})

    def prepare(self, run: Run) -> None:
        """The incompetent teacher: the same architecture, every parameter fresh."""
        self._incompetent, self._competent = run.fresh_model(), run.original

    def loss(self, run: Run, batch: Paired) -> Tensor:  # type: ignore[override]
        """Both terms from one forward of the student."""
        forget, retain = batch.split(run.logits(batch.joined()))
        bad = run.divergence(batch.forget, self._incompetent, self.temperature, forget)
        good = run.divergence(batch.retain, self._competent, self.temperature, retain)
        return run.reduce(bad, "forget") + run.reduce(good, "retain")
