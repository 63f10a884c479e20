"""The stages of a run, once it is laid out: models found or trained, unlearning, evaluation."""

from __future__ import annotations

import time
from functools import partial

from torch import nn

from mubench import artifacts, compatibility, costs, environment, evaluation, models, processes
from mubench.artifacts import Artifact
from mubench.config import RunConfig
from mubench.judging import Unlearned, judge
from mubench.layout import together
from mubench.meters import Cost, Meter
from mubench.methods.base import Method
from mubench.metrics.base import Splits
from mubench.parts.exchange import make_alike
from mubench.progress import Reporter
from mubench.records import Record
from mubench.run import Run
from mubench.shadows import store
from mubench.sharded_run import kind
from mubench.summary import of_data, of_forget_set
from mubench.workbench import Workbench


def work(bench: Workbench, method: Method, record: Record) -> None:
    """Everything between the data and the record's numbers."""
    config = bench.config
    record.environment = {**environment.versions(), **bench.engine.describe()}
    record.data, record.forget_set = of_data(bench), of_forget_set(bench)
    _announce(bench)
    for sentence in compatibility.idle(config, method):
        bench.reporter.say(f"  {sentence}")
    original = artifacts.obtain(bench, "original")
    retrained = _reference(bench, method)
    shadows, shadows_seconds = _shadows(bench)
    record.models = _fingerprints(config, retrained)
    start = retrained if method.starts_from == "retrained" and retrained else original
    run, cost = unlearn(bench, method, start)
    started = time.perf_counter()
    found = evaluation.predictions(bench, run.model)
    run.model = together(run.model, lambda: run.attach(start.model(bench)))
    cost.add("shadows_seconds", shadows_seconds)
    made = Unlearned(bench, method, run, cost, original, retrained, shadows)
    processes.shared(partial(judge, made, found, record, started))


def _fingerprints(config: RunConfig, retrained: Artifact | None) -> dict[str, str | None]:
    """Which original and which retrained model (None: none) the run's numbers rest on, and their shadows.

    The shadow models need not be there: a run can be scored by them once they are.
    """
    shadows = {f"{role}_shadow": config.model_fingerprint(role, shadow=True) for role in store.ROLES}
    return {
        "original": config.model_fingerprint("original"),
        "retrained": config.model_fingerprint("retrained") if retrained else None,
        **shadows,
    }


def _announce(bench: Workbench) -> None:
    key, split, total = bench.config.key, bench.split, len(bench.columns["train"])
    say = bench.reporter.say
    say(f"{key['method']} on {key['task']} with {key['model']}, {bench.engine.describe()['device']}")
    say(
        f"  {split.ratio:.3g} % of {total:,} = {len(split.forget):,} examples to forget "
        f"({split.strategy}), {len(split.retain):,} to retain"
    )


def _reference(bench: Workbench, method: Method) -> Artifact | None:
    """The retrained model, as `evaluation.reference` wants it."""
    wanted = bench.config.settings.evaluation.reference
    if wanted == "retrain" or method.starts_from == "retrained":
        return artifacts.obtain(bench, "retrained")
    return artifacts.stored(bench, "retrained") if wanted == "cached" else None


def _shadows(bench: Workbench) -> tuple[dict[str, list[Splits]], float]:
    """Predictions of the shadow models by role, and the seconds that training all of them took."""
    found: dict[str, list[Splits]] = {}
    seconds = 0.0
    for role in store.ROLES:
        shadows = store.obtain(bench, role)
        found[role] = [evaluation.cut(bench, shadow) for shadow in shadows]
        seconds += sum(shadow.cost.numbers["seconds"] or 0.0 for shadow in shadows)
    return found, seconds


def unlearn(bench: Workbench, method: Method, start: Artifact) -> tuple[Run, Cost]:
    """The unlearned model, and what making it cost."""
    settings, model = bench.config.settings, start.model(bench)
    whole = sum(weight.numel() for weight in model.parameters())
    run = kind()(
        bench.adapter.attach(model, bench.classes, settings.seed.unlearn, bench.reporter),
        bench.spec,
        bench.modality,
        bench.columns,
        {name: bench.rows(name) for name in method.reads},
        settings.unlearning,
        bench.engine,
        settings.seed.unlearn,
        bench.reporter,
        bench.config.run_dir / "checkpoints",
        lambda network: _attached(bench, network, models.teacher_seed(settings.seed.unlearn)),
        bench.curriculum,
    )
    run.hooks = method.hooks(run)
    bench.engine.synchronise()
    meter, started = Meter(bench.engine.device), time.perf_counter()
    method.prepare(run)
    method.unlearn(run)
    make_alike(run.model)
    bench.engine.synchronise()
    cost = costs.of_unlearning(run.effort, meter, started, time.perf_counter())
    moving = sum(weight.numel() for weight in run.model.parameters() if weight.requires_grad)
    cost.numbers |= {"parameters": whole, "trainable_parameters": moving}
    return run, cost


def _attached(bench: Workbench, network: nn.Module, seed: int) -> nn.Module:
    """A network under the run's kind of adapter, without a word about it."""
    return bench.adapter.attach(network, bench.classes, seed, Reporter(quiet=True))
