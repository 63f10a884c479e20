"""What of a run goes together: told from its config alone, and from its data before anything is trained."""

from __future__ import annotations

from functools import partial

import torch

from mubench import evaluation, scoring
from mubench.config import RunConfig
from mubench.curricula.base import Curriculum, Uniform
from mubench.errors import NotApplicable
from mubench.methods.base import Method
from mubench.metrics.base import Metric
from mubench.modalities.base import Modality
from mubench.optimization import build_optimizer
from mubench.sharing import check as check_sharing
from mubench.typed import Known
from mubench.workbench import Workbench


def check(config: RunConfig, known: Known | None = None) -> None:
    """UsageError for what is wrong with the parts of a run, NotApplicable for what does not go together.

    Only what the config tells: no data is loaded. `known` are parts of other cells of a sweep, built before.
    """
    settings, known = config.settings, Known() if known is None else known
    for recipe in (settings.training, settings.unlearning):
        weights = [torch.zeros(1, requires_grad=True)]
        known.part("optimizer", "", recipe, partial(build_optimizer, weights, recipe))
    known.component(settings.adapter, "adapter")
    known.component(settings.tracking, "tracking").check()
    known.component(settings.deletion, "deletion").check(settings.task)
    method = known.component(settings.method, "method")
    modality = known.component(settings.modality, "modality")
    _refuse_others(config, method, modality)
    curriculum = known.component(settings.curriculum, "curriculum")
    curriculum.check(modality.gives)
    _refuse_idle(config, method, curriculum)
    check_sharing(config, method)
    metrics(config, modality)


def _refuse_others(config: RunConfig, method: Method, modality: Modality) -> None:
    """NotApplicable for a modality or a deletion that the method is not for."""
    name, task, deletion = (config.key[part] for part in ("method", "task", "deletion"))
    if not method.serves(modality):
        wanted = " or ".join(sorted(method.families))
        raise NotApplicable(f"method '{name}' is for {wanted}; task '{task}' is {config.key['modality']}")
    if not method.deletions & {"any", deletion}:
        wanted = " or ".join(sorted(method.deletions))
        raise NotApplicable(f"method '{name}' takes deletion={wanted}; here it is '{deletion}'")


def metrics(config: RunConfig, modality: Modality) -> list[Metric]:
    """The metrics of the run; UsageError or NotApplicable for one that it cannot have."""
    wanted, gives = config.settings.evaluation, evaluation.gives(modality, config.settings.task)
    return scoring.chosen(wanted.metrics, gives, wanted.attacks)


def _refuse_idle(config: RunConfig, method: Method, curriculum: Curriculum) -> None:
    """NotApplicable for a curriculum or an optimizer that acts on nothing: the row's name would be false."""
    if method.takes_steps:
        return
    idle, name = f"does nothing for method '{config.key['method']}': it takes no", config.key["curriculum"]
    if not isinstance(curriculum, Uniform):
        raise NotApplicable(f"curriculum={name} {idle} losses")
    for typed in _typed(config, "optimizer"):
        raise NotApplicable(f"{typed} {idle} steps")


def idle(config: RunConfig, method: Method) -> list[str]:
    """What was typed of the recipe in vain: in a sweep it may be meant for the other methods."""
    typed = [] if method.takes_steps else _typed(config, "unlearning")
    vain = [one for one in typed if not one.startswith("unlearning.batch_size=")]
    return [f"{one} does nothing for method '{config.key['method']}': it takes no steps" for one in vain]


def _typed(config: RunConfig, node: str) -> list[str]:
    """The overrides that were typed of a group or node."""
    keys = [(typed.lstrip("+~").partition("=")[0], typed) for typed in config.overrides]
    return [typed for key, typed in keys if key == node or key.startswith(f"{node}.")]


def refuse(bench: Workbench, method: Method) -> None:
    """UsageError for what this data and network make impossible, before anything is trained."""
    bench.adapter.check(lambda: bench.spec.fresh(0), bench.classes)
    for part in sorted(method.reads):
        if not len(bench.rows(part)):
            name = bench.config.key["method"]
            raise NotApplicable(f"method '{name}' reads the {part} set, which is empty here")
