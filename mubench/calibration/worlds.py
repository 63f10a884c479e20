"""All models after the same was done to each: nothing, rounding, some more training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from torch import nn

from mubench import artifacts, evaluation
from mubench.artifacts import Artifact
from mubench.attacks.quantise import quantise
from mubench.metrics import Metric
from mubench.metrics.base import Splits, View
from mubench.progress import Reporter
from mubench.workbench import Workbench

Treatment = Callable[[Workbench, nn.Module], None]  # of a network, in place
BITS = 4


@dataclass(frozen=True)
class Models:
    """One model of each role to compare with (references), and N of each to tell apart (shadows)."""

    references: Mapping[str, Artifact]
    shadows: Mapping[str, Sequence[Artifact]]


def rounded(_: Workbench, network: nn.Module) -> None:
    """Round the weights to 4 bits (Zhang et al., 2410.16454)."""
    quantise(network, BITS)


def relearned(bench: Workbench, network: nn.Module) -> None:
    """Train one more epoch on D_r by the task's recipe, which brings back nothing that is really gone."""
    settings = bench.config.settings
    short = replace(settings, training=replace(settings.training, epochs=1))
    brief = replace(bench, config=replace(bench.config, settings=short), reporter=Reporter(quiet=True))
    artifacts.fit(brief, network, bench.rows("retain"), None, "one more epoch", settings.seed.eval)


TREATMENTS: dict[str, Treatment | None] = {"trained": None, "int4": rounded, "relearned": relearned}


@dataclass(frozen=True)
class World:
    """The predictions of all models after one treatment."""

    fixed: Mapping[str, Splits]  # of the references, and of an untrained model where a metric asks for it
    shadows: Mapping[str, Sequence[Splits]]
    seed: int  # seed.eval

    def view(self, role: str, number: int, reference: int | None = None) -> View:
        """A shadow model as if it were an unlearned one, and the model that it is compared with.

        That is the run's retrained model, or a retrained shadow model. The shadow models of the model's
        number, of both roles, are not among those that it is judged by: nothing but itself may tell its role.
        """
        models = {**self.fixed, "unlearned": self.shadows[role][number]}
        if reference is not None:
            models["retrained"] = self.shadows["retrained"][reference]
        return View("unlearned", models, seed=self.seed, others=self._without(number))

    def _without(self, number: int) -> dict[str, list[Splits]]:
        return {role: [*several[:number], *several[number + 1 :]] for role, several in self.shadows.items()}


def world(bench: Workbench, models: Models, metrics: Sequence[Metric], state: str) -> World:
    """Predict with all models after the treatment of that name."""

    def predicted(artifact: Artifact) -> Splits:
        return _predictions(bench, artifact, metrics, TREATMENTS[state])

    fixed = {role: predicted(artifact) for role, artifact in models.references.items()}
    if any("incompetent" in metric.needs for metric in metrics):
        fixed["incompetent"] = evaluation.incompetent(bench)
    shadows = {role: [predicted(one) for one in several] for role, several in models.shadows.items()}
    return World(fixed, shadows, bench.config.settings.seed.eval)


def _predictions(
    bench: Workbench, artifact: Artifact, metrics: Sequence[Metric], treatment: Treatment | None
) -> Splits:
    if treatment is None:
        return evaluation.of_artifact(bench, artifact, metrics)
    network = artifact.model(bench)
    treatment(bench, network)
    return evaluation.of_model(bench, network, metrics)
