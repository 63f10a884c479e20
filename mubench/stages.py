"""The stages of a run, once it is laid out: models found or trained, unlearning, evaluation."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from mubench import artifacts, costs, distances, environment, evaluation, models, processes, records, scoring
from mubench.artifacts import Artifact
from mubench.attacks import campaign
from mubench.checking import Known, component
from mubench.config import RunConfig
from mubench.curricula.base import Uniform
from mubench.errors import NotApplicable
from mubench.evidence import save as save_predictions
from mubench.evidence import save_distances, save_rows
from mubench.files import write_atomically
from mubench.layout import together
from mubench.meters import Cost, Meter
from mubench.methods.base import Method
from mubench.metrics.base import Curves, Distances, Metric, Splits, View
from mubench.modalities.base import Modality
from mubench.optimization import build_optimizer
from mubench.parts.exchange import make_alike
from mubench.progress import Reporter
from mubench.records import Record
from mubench.run import Run
from mubench.shadows import store
from mubench.sharded_run import kind
from mubench.sharing import check as check_sharing
from mubench.summary import of_data, of_forget_set
from mubench.workbench import Workbench


def work(bench: Workbench, method: Method, record: Record) -> None:
    """Everything between the data and the record's numbers."""
    config = bench.config
    record.environment = {**environment.versions(), **bench.engine.describe()}
    record.data, record.forget_set = of_data(bench), of_forget_set(bench)
    _announce(bench)
    for sentence in _idle(config, method):
        bench.reporter.say(f"  {sentence}")
    original = artifacts.obtain(bench, "original")
    retrained = _reference(bench, method)
    others, shadows_seconds = _shadows(bench)
    record.models = _fingerprints(config, retrained)
    start = retrained if method.starts_from == "retrained" and retrained else original
    run, cost = unlearn(bench, method, start)
    started = time.perf_counter()
    found = evaluation.predictions(bench, run.model)
    run.model = together(run.model, lambda: run.attach(start.model(bench)))

    def judge() -> None:
        cost.add("shadows_seconds", shadows_seconds)
        _judge(bench, method, record, run, found, original, retrained, others, cost, started)

    processes.shared(judge)


def _judge(
    bench: Workbench, method: Method, record: Record, run: Run, found: Splits, original: Artifact,
    retrained: Artifact | None, others: dict[str, list[Splits]], cost: Cost, started: float,
) -> None:  # fmt: skip
    """Score the predictions of an unlearned model, and leave everything of the run but its record."""
    config, folder = bench.config, bench.config.run_dir
    metrics = _metrics(config, bench.modality)
    evidence = _evidence(bench, run, found, original, retrained, metrics)
    if any("incompetent" in metric.needs for metric in metrics):
        evidence["incompetent"] = evaluation.incompetent(bench)
    curves = campaign.carry_out(bench, run.model, original, retrained)
    apart = _distances(bench, run, original, retrained, metrics)
    view = View(
        "unlearned", evidence, method.ascends, config.settings.seed.eval, others, curves=curves,
        distances=apart,
    )  # fmt: skip
    record.metrics, record.reasons = scoring.score(view, metrics)
    cost.add("evaluate_seconds", time.perf_counter() - started)
    _bill(record, bench, cost, method, original, retrained)
    _store(bench, run, evidence["unlearned"], curves)
    if apart is not None:
        save_distances(apart, folder)
    if folder.joinpath("checkpoints").is_dir():
        shutil.rmtree(folder / "checkpoints")


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


def check(config: RunConfig, known: Known | None = None) -> None:
    """UsageError for what is wrong with the parts of a run, NotApplicable for what does not go together.

    Only what the config tells: no data is loaded. `known` are parts of other cells of a sweep, built before.
    """
    settings, key, known = config.settings, config.key, Known() if known is None else known
    for recipe in (settings.training, settings.unlearning):
        weights = [torch.zeros(1, requires_grad=True)]
        known.part("optimizer", "", recipe, partial(build_optimizer, weights, recipe))
    known.component(settings.adapter, "adapter")
    known.component(settings.tracking, "tracking").check()
    known.component(settings.deletion, "deletion").check(settings.task)
    method = known.component(settings.method, "method")
    modality = known.component(settings.modality, "modality")
    if not method.serves(modality):
        wanted = " or ".join(sorted(method.families))
        raise NotApplicable(
            f"method '{key['method']}' is for {wanted}; task '{key['task']}' is {key['modality']}"
        )
    if not method.deletions & {"any", key["deletion"]}:
        wanted = " or ".join(sorted(method.deletions))
        raise NotApplicable(
            f"method '{key['method']}' takes deletion={wanted}; here it is '{key['deletion']}'"
        )
    known.component(settings.curriculum, "curriculum").check(modality.gives)
    _refuse_idle(config, method)
    check_sharing(config, method)
    _metrics(config, modality)


def _metrics(config: RunConfig, modality: Modality) -> list[Metric]:
    """The metrics of the run; UsageError or NotApplicable for one that it cannot have."""
    wanted, gives = config.settings.evaluation, evaluation.gives(modality, config.settings.task)
    return scoring.chosen(wanted.metrics, gives, wanted.attacks)


def _refuse_idle(config: RunConfig, method: Method) -> None:
    """NotApplicable for a curriculum or an optimizer that acts on nothing: the row's name would be false."""
    if method.takes_steps:
        return
    idle, name = f"does nothing for method '{config.key['method']}': it takes no", config.key["curriculum"]
    if not isinstance(component(config.settings.curriculum, "curriculum"), Uniform):
        raise NotApplicable(f"curriculum={name} {idle} losses")
    for typed in _typed(config, "optimizer"):
        raise NotApplicable(f"{typed} {idle} steps")


def _idle(config: RunConfig, method: Method) -> list[str]:
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


def _evidence(
    bench: Workbench, run: Run, found: Splits, original: Artifact, retrained: Artifact | None,
    metrics: Sequence[Metric],
) -> dict[str, Splits]:  # fmt: skip
    evidence = {
        "original": evaluation.of_artifact(bench, original, metrics),
        "unlearned": evaluation.completed(bench, found, metrics, lambda: run.model),
    }
    if retrained is not None:
        evidence["retrained"] = evaluation.of_artifact(bench, retrained, metrics)
    return evidence


def _distances(
    bench: Workbench, run: Run, original: Artifact, retrained: Artifact | None, metrics: Sequence[Metric]
) -> Distances | None:
    """Those between the weights of all models at hand, if a metric reads them."""
    if not any(metric.reads == "weights" for metric in metrics):
        return None
    folders = {str(shared.role): shared.folder for shared in (original, retrained) if shared is not None}
    return distances.measure(bench, run.model, folders)


def _bill(
    record: Record, bench: Workbench, cost: Cost, method: Method, original: Artifact,
    retrained: Artifact | None,
) -> None:  # fmt: skip
    """The run's cost beside that of the data and of the models that it is measured by."""
    inherits = method.starts_from == "retrained"
    cost = costs.beside_training(
        cost, original.cost, retrained.cost if retrained else None, inherits, bool(method.needs)
    )
    cost.numbers["encode_seconds"] = bench.data.facts["encode_seconds"]
    record.cost = cost.numbers
    record.reasons |= {f"cost.{name}": reason for name, reason in cost.reasons.items()}


def _store(bench: Workbench, run: Run, predictions: Splits, curves: dict[str, dict[str, Curves]]) -> None:
    """Everything of the run but its record, which seals it."""
    folder = bench.config.run_dir
    ids = bench.data["train"].ids[bench.split.forget]
    write_atomically(folder / "forget_ids.npy", lambda path: _save_array(path, ids))
    save_predictions(predictions, folder / "predictions.safetensors")
    rows = evaluation.rows_of(bench)
    save_rows({name: rows[name] for name in ("forget", "retain")}, folder)
    if curves:
        records.write_curves(folder, curves)
    if bench.config.settings.save_model:
        bench.adapter.save(run.model, folder / "model")
    bench.reporter.write_history(folder / "history.jsonl")


def _save_array(path: Any, array: np.ndarray) -> None:
    with path.open("wb") as stream:
        np.save(stream, array)
