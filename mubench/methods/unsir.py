"""UNSIR: impair with the noise that forgotten classes fit least, then repair (Tarun et al., 2111.08947)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from mubench.data import Batch, Paired
from mubench.methods.base import Method
from mubench.run import Run
from mubench.schema import within


@dataclass
class Unsir(Method):
    """max over N of CE(N, c) - decay |N|^2 for each class c of D_f; then min mean CE(N, c), D_r; then D_r.

    Of D_f only the classes are read. The noise takes the place of pixels, spectra or waves; texts have
    no input that it could take, since a learned embedding has no length. The recipe's epochs impair,
    `repair` epochs follow. Where D_f is no whole class, the rest of it in D_r works against the noise.
    """

    noises: int = 8  # inputs learned for each class; more impair more evenly and take memory
    steps: int = 40  # of Adam on the noise
    rate: float = 0.1  # of these steps
    decay: float = 0.1  # of |N|^2: keeps the noise near the inputs' size
    repair: int = 2  # epochs on D_r alone at the end

    needs: ClassVar[frozenset[str]] = frozenset({"forget", "retain"})
    families: ClassVar[frozenset[str]] = frozenset({"image", "video", "audio", "image_text"})
    deletions: ClassVar[frozenset[str]] = frozenset({"class"})
    source: ClassVar[tuple[str, ...]] = ("tarun2023",)
    formula: ClassVar[str] = (
        "for each class c of D_f: N_c = argmax over N of CE_w0(N, c) - decay |N|^2; "
        "then min mean CE on (N_c, c) and D_r; then min mean CE on D_r"
    )
    trial: ClassVar[Mapping[str, Any]] = {"steps": 6}
    memory: ClassVar[str] = "`noises` inputs for each forgotten class"

    def __post_init__(self) -> None:
        for name in ("noises", "steps"):
            within(f"method.{name}", getattr(self, name), 1, 1e6)
        within("method.rate", self.rate, 0, 1e3, "(]")
        within("method.decay", self.decay, 0, 1e6)
        within("method.repair", self.repair, 0, 1e6)

    def prepare(self, run: Run) -> None:
        """Learn the noise of every class against the original, which rests in evaluation mode."""
        rows = run.rows["forget"]
        labels = run.columns["train"].labels[rows.numpy()]
        device = run.engine.device
        self._noise: dict[int, Tensor] = {}  # (noises, ...) of each class
        self._slot = torch.zeros(len(run.columns["train"]), dtype=torch.int64)  # which of them a row has
        for label in sorted(set(labels.tolist())):
            members = rows[torch.from_numpy(labels == label)]
            self._slot[members] = torch.arange(len(members)) % self.noises
            carrier = run.prepare(run.columns["train"].take(members[:1], device))
            self._noise[label] = self._learn(run, carrier, min(self.noises, len(members)), label)
        self._slot = self._slot.to(device)

    def _learn(self, run: Run, carrier: Batch, count: int, label: int) -> Tensor:
        """Noise (count, ...) that the original takes least for the label."""
        many = Batch(
            {name: value.expand(count, *value.shape[1:]) for name, value in carrier.inputs.items()},
            carrier.targets.expand(count),
            carrier.index.expand(count),
        )
        values = run.modality.signal(run.original, many).values
        draw = torch.randn(values.shape, generator=run.generator(label))
        noise = draw.to(values).requires_grad_(True)
        one = noise.detach()[:1].requires_grad_(True)
        run.tally.add("noise", many, lambda row: self._backward(run, row, one), self.steps)
        optimizer = torch.optim.Adam([noise], lr=self.rate)
        for _ in range(self.steps):
            optimizer.zero_grad()
            with run.engine.autocast():
                self._backward(run, many, noise)
            optimizer.step()
        return noise.detach()

    def _backward(self, run: Run, many: Batch, noise: Tensor) -> None:
        """The gradient, by the noise (n, ...), of its size less the original's loss on it."""
        losses = run.modality.losses(run.modality.logits_at(run.original, many, noise), many.targets)
        size = noise.square().flatten(1).sum(1)
        (self.decay * size - losses).mean().backward(inputs=[noise])

    def impair(self, run: Run, batch: Paired) -> Tensor:
        """The mean loss of noise under the forgotten labels, and of as many examples of D_r."""
        forget = run.modality.losses(self._answers(run, batch.forget), batch.forget.targets)
        retain = run.losses(batch.retain)
        return (run.reduce(forget, "forget") + run.reduce(retain, "retain")) / 2

    def _answers(self, run: Run, batch: Batch) -> Tensor:
        """The model's scores of the noise that stands for the rows of D_f."""
        slots, labels = self._slot[batch.index].tolist(), batch.targets.tolist()
        rows = [self._noise[label][slot] for label, slot in zip(labels, slots, strict=True)]
        return run.modality.logits_at(run.model, batch, torch.stack(rows))

    def mend(self, run: Run, batch: Batch) -> Tensor:
        """The task's loss on D_r."""
        return run.reduce(run.losses(batch), "repair")

    def unlearn(self, run: Run) -> None:
        """Impair for the recipe's epochs, then repair."""
        run.fit("paired", lambda batch: self.impair(run, batch))
        run.fit("retain", lambda batch: self.mend(run, batch), self.repair)
