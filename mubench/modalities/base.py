"""What the rest of the house may ask of a modality."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from mubench import divergence
from mubench.data import Batch
from mubench.divergence import precise
from mubench.errors import UsageError
from mubench.modalities import signals
from mubench.modalities.signals import Signal

Fields = Mapping[str, Any]  # raw values of some rows, a sequence or array under each field's name


class BrokenRow(Exception):
    """A raw example that cannot be encoded: its place among the rows given, and what is wrong with it."""

    def __init__(self, place: int, wrong: str) -> None:
        super().__init__(wrong)
        self.place, self.wrong = place, wrong


@dataclass
class Modality(ABC):
    """One kind of input and of target. N examples, B of them in a batch, C classes, T tokens.

    Encoding is done once for a task and kept; `prepare` then makes a batch of stored columns into what
    the model takes, on the device. It leaves the meaning of the targets alone, so that a method may
    replace them afterwards.
    """

    name: str = ""
    augment: str = "none"

    fields: ClassVar[tuple[str, ...]] = ()  # of a raw split: what `encode` reads
    piece: ClassVar[int] = 1000  # rows encoded together
    gives: ClassVar[frozenset[str]] = frozenset({"losses"})  # what its predictions hold for metrics

    # Encoding ---------------------------------------------------------------------------------

    def encoder(self, model: Mapping[str, Any]) -> dict[str, Any]:
        """What decides the encoding besides the raw data; enters the name of the cache."""
        return {"modality": self.name}

    def learn(self, train: Fields, model: Mapping[str, Any], folder: Path) -> None:  # noqa: B027
        """Leave in `folder` what encoding needs, such as a tokenizer, from the whole training split."""

    @abstractmethod
    def encode(self, rows: Fields, folder: Path) -> dict[str, Tensor]:
        """Columns (n, ...) of a piece of a split, in storage types; BrokenRow for what cannot be read.

        Sizes beyond the first must be the same for every piece. A column named "targets" takes the
        place of the rows' labels as their target.
        """

    @abstractmethod
    def facts(self, train: Mapping[str, Tensor], folder: Path) -> dict[str, Any]:
        """What models must know of the training columns, such as sizes and statistics; plain JSON."""

    # Models -----------------------------------------------------------------------------------

    def outputs(self, classes: int) -> int:
        """Outputs of a model's head for data of so many classes, 0 where it gives no classes."""
        return classes if "classes" in self.gives else 0

    @abstractmethod
    def expects(self, model: Mapping[str, Any], facts: Mapping[str, Any]) -> Any:
        """What a model's config node and the data's facts make `prepare` do."""

    @abstractmethod
    def shape(self, expected: Any) -> dict[str, int]:
        """The dimensions of the input, as arguments of a network's builder."""

    @property
    def draws(self) -> bool:
        """Whether `prepare` draws anything: then a teacher's outputs cannot be remembered."""
        return self.augment != "none"

    @property
    def remembers(self) -> bool:
        """Whether a model's outputs on a row are the same in every batch, and small."""
        return not self.draws

    @abstractmethod
    def prepare(self, batch: Batch, expected: Any, generator: torch.Generator | None) -> Batch:
        """The batch as the model takes it; augmented if there is a generator of the draws."""

    def trimmed(self, batch: Batch) -> Batch:
        """The prepared batch without what none of its rows uses: shapes no longer hang on values then."""
        return batch

    @abstractmethod
    def scores(self, model: nn.Module, batch: Batch) -> Tensor:
        """The model's scores on a trimmed batch; shapes must not depend on values (torch.func maps it)."""

    def logits(self, model: nn.Module, batch: Batch) -> Tensor:
        """The model's scores on a prepared batch: (B, C), (B, T, C), or an error (B, ...) of noise."""
        return self.scores(model, self.trimmed(batch))

    # Per example, all (B,) --------------------------------------------------------------------

    @abstractmethod
    def losses(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The task's loss."""

    @abstractmethod
    def errors(self, logits: Tensor, targets: Tensor) -> Tensor:
        """How wrong the scores are, at least 0, such as the share of wrong tokens."""

    @abstractmethod
    def divergence(
        self, teacher: Tensor, student: Tensor, targets: Tensor, temperature: float = 1.0
    ) -> Tensor:
        """How far the student's scores are from the teacher's, at least 0; the teacher is a constant."""

    # Real-valued inputs, and what the network makes of them ------------------------------------

    def signal(self, model: nn.Module, batch: Batch) -> Signal:
        """What can be moved a little of a prepared batch: its only floating-point input, if not said else."""
        (values,) = (value for value in batch.inputs.values() if value.is_floating_point())
        mask = batch.inputs.get("attention_mask")
        return signals.of(values, mask if mask is not None and mask.shape == values.shape else None)

    def logits_at(self, model: nn.Module, batch: Batch, values: Tensor) -> Tensor:
        """The scores where the network is given these values in place of the signal's."""
        inputs = {k: values if v.is_floating_point() else v for k, v in batch.inputs.items()}
        return self.logits(model, replace(batch, inputs=inputs))

    def entropy_gap(self, teacher: Tensor, student: Tensor, targets: Tensor) -> Tensor:
        """Squared difference (B,) of the predicted distributions' entropies; the teacher is a constant.

        Of tokens the mean over the labels'. Where no distribution is predicted the divergence stands in.
        """
        return self.divergence(teacher, student, targets)

    def distance(self, first: Tensor, second: Tensor, targets: Tensor) -> Tensor:
        """The Euclidean distance (B,) of two models' scores; of tokens the mean over the labels'."""
        found: Tensor = torch.linalg.vector_norm((precise(first) - precise(second)).flatten(1), dim=1)
        return found

    def own(self, model: nn.Module, batch: Batch, part: nn.Module) -> Tensor | None:
        """Which of the places in a sequence belong to an example, (B, T), as a part of the model has them.

        None where all do; places behind the T-th do.
        """
        return None

    def unimodal_and_fused(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        """Features of each of two kinds of input by itself, (B, U), and of both together, (B, F)."""
        raise UsageError(f"modality '{self.name}' has one kind of input")

    def recombined(self, batch: Batch, other: Batch) -> Batch:
        """One kind of input of the first prepared batch beside the other kind of the second."""
        raise UsageError(f"modality '{self.name}' has one kind of input")

    def penultimate(self, inputs: Tensor, batch: Batch) -> Tensor:
        """One vector of each example (B, D), of what goes into the layer that makes the scores.

        The mean over all places between the first dimension and the last, if there are any.
        """
        return inputs.flatten(1, -2).mean(1) if inputs.dim() > 2 else inputs

    # Labels: the places that the loss is a mean over ------------------------------------------

    def log_likelihood(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Log-probability of the whole target, (B,); where it has none minus the loss stands in."""
        return -self.losses(logits, targets)

    def label_log_probs(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Log-probability of each label: (B,) of classes, (B, T) of tokens."""
        raise UsageError(f"the targets of modality '{self.name}' have no labels")

    def over_labels(self, values: Tensor, targets: Tensor) -> Tensor:
        """The mean (B,) over the labels of an example of a value for each: (B,), or (B, T) of tokens."""
        raise UsageError(f"the targets of modality '{self.name}' have no labels")

    def lowered(self, logits: Tensor, targets: Tensor, by: float) -> Tensor:
        """The scores with `by` taken from that of each label; -inf there if `by` is inf."""
        raise UsageError(f"the targets of modality '{self.name}' have no labels")

    # The model's own view of an example -------------------------------------------------------

    def draw(self, logits: Tensor, targets: Tensor, generator: torch.Generator) -> Tensor:
        """What `drawn_score` takes, (B, ...), drawn on the CPU: an outcome, or a weight for each outcome.

        The score's squared gradient has the Fisher information's expected value, that of the model's own
        distribution p. Of a finite one the weights are sqrt(p), each of a random sign: E (sum_y s_y sqrt(p_y)
        grad log p_y)^2 = sum_y p_y (grad log p_y)^2, and one draw tells more than one label would. Where the
        loss is a mean squared error, p is the Gaussian around the prediction whose negative log-likelihood,
        but for a constant, is that loss; an outcome is drawn from it.
        """
        raise UsageError(f"modality '{self.name}' has no distribution of targets")

    def drawn_score(self, logits: Tensor, drawn: Tensor) -> Tensor:
        """Log-probability of a drawn outcome, or the sum of all outcomes' by the drawn weights, (B,)."""
        return divergence.weighted_log_probability(logits, drawn).reshape(len(drawn), -1).sum(1)

    def squared_norm(self, logits: Tensor, batch: Batch) -> Tensor:
        """Squared length (B,) of what the model puts out; of tokens the mean over the labels'."""
        return precise(logits).square().flatten(1).sum(1)

    # Other targets ----------------------------------------------------------------------------

    @abstractmethod
    def relabel(self, targets: Tensor, donors: Tensor, classes: int, generator: torch.Generator) -> Tensor:
        """A random wrong target for each of (n, ...); `donors` (n, ...) are targets of other examples."""

    def refusals(self, expected: Any) -> Tensor:
        """Targets (R, ...) that decline to answer."""
        raise UsageError(f"modality '{self.name}' cannot refuse an answer")

    def merge(self, targets: Tensor, other: Tensor, mask: Tensor) -> Tensor:
        """The targets (B, ...) with those of `other` where the mask (B,) is true."""
        return torch.where(mask.view(-1, *[1] * (targets.dim() - 1)), other, targets)

    # Predictions ------------------------------------------------------------------------------

    @abstractmethod
    def predictions(self, logits: Tensor, batch: Batch) -> dict[str, Tensor]:
        """What is stored of each example besides its loss: fields of `Outputs`, `targets` among them."""

    def more_predictions(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Fields of `Outputs` that take forwards of their own; batch prepared, without a generator."""
        return {}

    def generate(
        self, model: nn.Module, batch: Batch, expected: Any, generator: torch.Generator
    ) -> dict[str, Any]:
        """What the model writes or paints for a prepared batch: `Outputs` fields, if `gives` names any."""
        return {}
