"""Every mini task in small: each is the real task's class and kind of model, and methods run on it.

Each twin goes through whole runs of a few methods, and every method moves a model of every modality it
applies to, on one of that modality's twins. A new twin and a new method are covered without an edit here.
"""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from statistics import mode
from zlib import crc32

import jsonschema
import pytest
import torch
from omegaconf import OmegaConf

from mubench import artifacts, catalog, compatibility, stages
from mubench.errors import NotApplicable
from mubench.experiment import run
from mubench.plan import Planner
from mubench.progress import Reporter
from mubench.typed import component
from mubench.workbench import lay_out

ROOT = Path(__file__).parent.parent
DIRS = catalog.config_dirs()
TASKS = catalog.names("task", DIRS)
TWINS = [name for name in TASKS if name.startswith("mini/")]
METHODS = catalog.names("method", DIRS)
WHOLE = ("original", "retrain", "random_label")  # the references, and one that draws other targets
MOVING = [name for name in METHODS if name not in ("original", "retrain")]
MOST = {"train": 96, "test": 40, "validation": 24, "valid": 40, "count": 24}  # what is generated, at most
FAST = ("training.epochs=1", "unlearning.epochs=1", "evaluation.generate=4")
QUIET = Reporter(quiet=True)


def node_of(group: str, name: str):
    loaded = OmegaConf.to_container(OmegaConf.load(catalog.path_of(group, name, DIRS)))
    return loaded.get(group, loaded)


def pairs() -> list[tuple[str, str]]:
    """Each method with one twin, chosen by its name, of each modality that it applies to."""
    by_modality: dict[str, list[str]] = {}
    for twin in TWINS:
        by_modality.setdefault(node_of("task", twin)["modality"], []).append(twin)
    methods = {name: component(node_of("method", name), "method") for name in MOVING}
    chosen = []
    for modality, twins in by_modality.items():
        offered = {"any", modality, *component(node_of("modality", modality), "modality").gives}
        names = [name for name, method in methods.items() if method.families & offered]
        chosen += [(twins[crc32(name.encode()) % len(twins)], name) for name in names]
    return chosen


@cache
def config_of(name: str):
    return Planner(DIRS).cells([f"task={name}"], multirun=False)[0]


def small(name: str, *deletion: str) -> list[str]:
    """Overrides that make a twin's run take seconds, with 15 % deleted or by another strategy."""
    made = config_of(name).settings.task["generate"]
    fewer = [f"task.generate.{key}={min(made[key], MOST[key])}" for key in made if key in MOST]
    return [f"task={name}", *fewer, *FAST, *(deletion or ["deletion.ratio=15"])]


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """Holds each twin's original model for whoever asks."""
    return tmp_path_factory.mktemp("twins")


@pytest.fixture(scope="module", params=TWINS)
def records(request, out):
    """{method: record} of whole runs on one twin."""
    typed = [*small(request.param), f"method={','.join(WHOLE)}", f"out={out}"]
    return {cell.key["method"]: run(cell, QUIET) for cell in Planner(DIRS).cells(typed, multirun=True)}


@pytest.fixture(scope="module")
def bench(out):
    """(twin, strategies) -> what a run on it works with, laid out once."""

    @cache
    def laid(twin: str, strategies: frozenset[str] = frozenset({"any"})):
        chosen = []
        if "any" not in strategies:
            labels = laid(twin).data["train"].labels.tolist()  # not every class is left in a small twin
            chosen = [f"deletion={min(strategies)}", f"deletion.classes=[{mode(labels)}]"]
        (cell,) = Planner(DIRS).cells([*small(twin, *chosen), f"out={out}"], multirun=False)
        return lay_out(cell, QUIET)

    return laid


@pytest.mark.parametrize(("twin", "name"), pairs())
def test_every_method_moves_a_model_of_every_modality_it_applies_to(twin, name, bench):
    node = node_of("method", name)
    method = component(node, "method")
    laid = bench(twin, method.deletions)
    compatibility.check(replace(laid.config, settings=replace(laid.config.settings, method=node)))
    if "validation" in method.reads and not len(laid.rows("validation")):
        with pytest.raises(NotApplicable, match="validation"):
            compatibility.refuse(laid, method)
        pytest.skip(f"{twin} has no validation set")
    compatibility.refuse(laid, method)
    original = artifacts.obtain(laid, "original")
    before = original.model(laid).state_dict()
    with laid.engine.running():
        moved, _ = stages.unlearn(laid, method, original)
    after = moved.model.state_dict()
    assert all(torch.isfinite(weight).all() for weight in after.values() if weight.is_floating_point())
    assert any(not torch.equal(weight, before[key].to(weight.device)) for key, weight in after.items())


def test_whole_runs_are_complete(records):
    assert set(records) == set(WHOLE)
    for record in records.values():
        assert record.complete and record.metrics["unlearned"]["forget_loss"] is not None


def test_records_follow_the_schema(records):
    schema = json.loads((ROOT / "docs" / "record.schema.json").read_text(encoding="utf-8"))
    for record in records.values():
        jsonschema.validate(json.loads(json.dumps(asdict(record))), schema)


def test_methods_move_the_model_and_the_others_do_not(records):
    def losses(method: str, role: str) -> list[float]:
        return [records[method].metrics[role][f"{split}_loss"] for split in ("forget", "retain", "test")]

    for method in set(WHOLE) & set(MOVING):
        assert losses(method, "unlearned") != losses(method, "original"), method
    assert losses("original", "unlearned") == pytest.approx(losses("original", "original"))
    assert losses("retrain", "unlearned") == pytest.approx(losses("retrain", "retrained"))


def test_what_the_modality_gives_is_scored_and_nothing_else_is_asked(records):
    record = records["retrain"]
    values = record.metrics["unlearned"]
    expected = {"classes": "test_accuracy", "tokens": "test_token_accuracy", "texts": "test_rougeL",
                "pictures": "test_fid", "losses": "test_loss"}  # fmt: skip
    gives = component(record.config["modality"], "modality").gives
    for kind, name in expected.items():
        assert (name in values) == (kind in gives), name
        assert kind not in gives or values[name] is not None, record.reasons.get(f"unlearned.{name}")


@pytest.mark.parametrize("name", TWINS)
def test_a_twin_is_its_real_tasks_class_modality_and_kind_of_model(name):
    twin, real = (config_of(n).settings for n in (name, name.removeprefix("mini/")))
    assert twin.task["_target_"] == real.task["_target_"]
    assert twin.modality["_target_"] == real.modality["_target_"]
    assert twin.model["build"].get("auto") == real.model["build"].get("auto")
    assert real.task.get("alternative", name) == name


def test_every_mission_task_has_a_twin():
    mission = ("cifar10", "cifar100", "imdb", "ddi2013", "nlvr2", "speech_commands", "ucf101", "samsum",
               "celeb_profile", "tiny_imagenet", "tofu")  # fmt: skip
    assert set(mission) <= set(TASKS) and {f"mini/{name}" for name in mission} <= set(TWINS)


@pytest.mark.parametrize("name", TWINS)
def test_a_twin_is_generated_the_same_each_time(name):
    def rows():
        task = component(Planner(DIRS).cells(small(name), multirun=False)[0].settings.task, "task")
        raw = task.load()
        return {split: ({field: list(values) for field, values in part.fields.items()}, part.labels.tolist())
                for split, part in raw.splits.items()}  # fmt: skip

    first, again = rows(), rows()
    assert first.keys() == again.keys()
    for split in first:
        assert first[split][1] == again[split][1]
        assert all(str(first[split][0][f]) == str(again[split][0][f]) for f in first[split][0])
