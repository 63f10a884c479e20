"""What a method is: facts about it, hyper-parameters, and a loss or a whole procedure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Literal

from torch import Tensor

from mubench.modalities.base import Modality
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
    deletions: ClassVar[frozenset[str]] = frozenset({"any"})  # strategies that choose what it can forget
    layers: ClassVar[Literal["all", "convolutions"]] = "all"  # convolutions, else linear layers
    starts_from: ClassVar[Literal["original", "retrained"]] = "original"
    trains: ClassVar[bool] = (
        True  # in steps, its losses weighed by `run.reduce`; else it sets weights at once
    )
    ascends: ClassVar[bool] = False  # gradient ascent: MU-Bench's `overall` tolerates more

    source: ClassVar[tuple[str, ...]] = ()  # keys of methods/sources.bib, the method's own paper first
    formula: ClassVar[str] = ""  # what is computed, in plain text
    memory: ClassVar[str] = "none"  # above plain fine-tuning, such as "a copy of the weights"

    # What the checks of `mubench verify` may expect of it.
    moves: ClassVar[Literal["all", "some", "none"]] = "all"  # of the weights that may move
    distils: ClassVar[bool] = False  # has terms that vanish, with their gradient, where a teacher agrees
    softmax: ClassVar[bool] = True  # reads scores through their softmax: a constant added is not seen
    additive: ClassVar[bool] = True  # the loss of a batch is the mean of its examples'
    gathers: ClassVar[bool] = False  # it is not, but asks `run.whole` for what it needs of the other rows
    whole: ClassVar[bool] = False  # reads or sets whole weights or gradients: a part of each is not enough
    alternates: ClassVar[bool] = False  # never takes two passes over D_f in a row while D_r's are left
    lowers: ClassVar[bool] = False  # no gradient pulls up the true label's score of a row of D_f
    choices: ClassVar[Mapping[str, tuple[Any, ...]]] = {}  # values of settings that are no numbers
    companions: ClassVar[Mapping[str, Mapping[str, Any]]] = {}  # other settings that make a setting act
    trial: ClassVar[Mapping[str, Any]] = {}  # settings under which a few dozen rows show what it does
    estimates: ClassVar[bool] = (
        False  # what it computes at once hangs on its batches: it draws or steps by them
    )

    @property
    def reads(self) -> frozenset[str]:
        """The sets that this setting of the method reads; any other may be absent."""
        return self.needs

    @property
    def takes_steps(self) -> bool:
        """Whether recipe, optimizer and curriculum matter to this setting of the method."""
        return self.trains

    def acts(self, setting: str, gives: frozenset[str], classes: int) -> bool:
        """Whether a setting can matter for what a modality gives, and for so many classes (0: none)."""
        return True

    @property
    def divisible(self) -> bool:
        """Whether several processes may each work on a part of its batches."""
        return self.additive or self.gathers

    @property
    def shardable(self) -> bool:
        """Whether each process may hold a part of every weight alone."""
        return self.divisible and not self.whole

    def serves(self, modality: Modality) -> bool:
        """Whether it applies to tasks of this modality."""
        return bool(self.families & {"any", modality.name, *modality.gives})

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
