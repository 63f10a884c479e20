"""RUM: each part of D_f by a method of its own, the least memorised first (Zhao et al., 2406.01257)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor

from mubench import processes
from mubench.errors import NotApplicable, UsageError
from mubench.methods.base import Method
from mubench.run import Run
from mubench.schema import within
from mubench.training import Hooks
from mubench.typed import component


@dataclass
class Stratum:
    """What unlearns one part of D_f."""

    method: dict[str, Any] = field(default_factory=dict)  # its node, as in its own yaml
    lr: float = 1.0  # share of the run's learning rate

    def __post_init__(self) -> None:
        if "_target_" not in self.method:
            raise UsageError("a stratum's `method` is the node of a method: name, _target_ and its settings")
        within(f"the share `lr` of method '{self.method.get('name')}'", self.lr, 0, 1e6, "(]")


def _stratum(name: str, kind: str, lr: float) -> Stratum:
    return Stratum({"name": name, "_target_": f"mubench.methods.{name}.{kind}"}, lr)


@dataclass
class Rum(Method):
    """D_f in thirds by the original's loss, unlearned one after the other; what waits still counts as D_r.

    The paper ranks by memorisation, the gain in an example's accuracy from training on it, for which
    many models are trained without it. The original's confidence is the cheapest of the proxies that
    follow it (Zhao & Triantafillou, 2410.16516): a high loss in spite of training, much memorisation.
    """

    low: Stratum = field(default_factory=partial(_stratum, "original", "Original", 1.0))
    medium: Stratum = field(default_factory=partial(_stratum, "finetune", "Finetune", 0.4))
    high: Stratum = field(default_factory=partial(_stratum, "salun", "SalUn", 0.025))

    needs: ClassVar[frozenset[str]] = frozenset({"forget", "retain"})
    choices: ClassVar[dict[str, tuple[Any, ...]]] = {  # `original` has no use for a rate
        "low": ({"method": {"name": "neggrad", "_target_": "mubench.methods.neggrad.NegGrad"}, "lr": 0.1},)
    }
    whole: ClassVar[bool] = True
    source: ClassVar[tuple[str, ...]] = ("zhao2024",)
    formula: ClassVar[str] = (
        "D_f in thirds S1, S2, S3 by rising loss at w0; w = U3(U2(U1(w0, S1), S2), S3), "
        "U1, U2, U3 the methods `low`, `medium`, `high`, for each of which the parts after it belong to D_r"
    )
    memory: ClassVar[str] = "that of the method that needs most"

    def __post_init__(self) -> None:
        self._methods = [_built(part) for part in (self.low, self.medium, self.high)]

    @property
    def reads(self) -> frozenset[str]:
        """What the parts' methods read, and both sets to divide them."""
        return self.needs.union(*(method.reads for method in self._methods))

    @property
    def takes_steps(self) -> bool:
        """Whether one of the parts' methods does."""
        return any(method.takes_steps for method in self._methods)

    @property
    def divisible(self) -> bool:
        """Whether all of the parts' methods are."""
        return all(method.divisible for method in self._methods)

    def prepare(self, run: Run) -> None:
        """Divide D_f; a method that does not apply to the task is refused before any work."""
        for method in self._methods:
            if not method.serves(run.modality):
                raise NotApplicable(
                    f"method '{method.name}' in 'rum' is for {' or '.join(sorted(method.families))}"
                )
        self._parts = processes.shared(lambda: strata(run, len(self._methods)))

    def unlearn(self, run: Run) -> None:
        """The methods in turn, each from where the one before it stopped."""
        shares = [part.lr for part in (self.low, self.medium, self.high)]
        for number, (method, rows) in enumerate(zip(self._methods, self._parts, strict=True)):
            if not len(rows):
                continue
            later = torch.cat([run.rows["retain"], *self._parts[number + 1 :]])
            inner = _narrowed(run, method, {"forget": rows, "retain": later}, shares[number], number)
            method.prepare(inner)
            method.unlearn(inner)


def _built(part: Stratum) -> Method:
    method: Method = component(part.method, "method")
    if method.starts_from != "original":
        raise UsageError(f"method '{method.name}' does not go on from another one's model")
    return method


@torch.no_grad()
def strata(run: Run, count: int) -> list[Tensor]:
    """The rows of D_f in `count` parts of one size, by rising loss at the current weights."""
    run.model.eval()
    batches = [run.prepare(batch) for batch in run.stream("forget").batches(None)]
    for batch in batches:
        run.tally.scores(batch)
    losses = torch.cat([run.losses(batch).cpu() for batch in batches])
    ranked = run.rows["forget"][losses.argsort(stable=True)]
    return list(ranked.tensor_split(count))


def _narrowed(run: Run, method: Method, rows: Mapping[str, Tensor], share: float, number: int) -> Run:
    """The run on these rows of D_f and D_r: one model, one sum of effort, a recipe and hooks of its own."""
    known = {**run.rows, **rows}
    inner = replace(
        run,
        rows={name: known[name] for name in method.reads},
        recipe=replace(run.recipe, lr=share * run.recipe.lr),
        checkpoints=run.checkpoints and run.checkpoints / f"stratum{number}",
    )
    inner.hooks = _both(method.hooks(inner), run.hooks)
    return inner


def _both(first: Hooks, second: Hooks) -> Hooks:
    def after_backward() -> None:
        first.after_backward()
        second.after_backward()

    def after_step() -> None:
        first.after_step()
        second.after_step()

    return Hooks(after_backward, after_step)
