"""Every mini task in small: each is the real task's class and kind of model, and takes every method.

A new twin is covered without an edit here.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import cache
from pathlib import Path

import jsonschema
import pytest

from mubench import catalog
from mubench.checking import component
from mubench.errors import NotApplicable
from mubench.experiment import run
from mubench.plan import Planner
from mubench.progress import Reporter

ROOT = Path(__file__).parent.parent
DIRS = catalog.config_dirs()
TASKS = catalog.names("task", DIRS)
TWINS = [name for name in TASKS if name.startswith("mini/")]
METHODS = catalog.names("method", DIRS)
MOVING = [name for name in METHODS if name not in ("original", "retrain")]
MOST = {"train": 96, "test": 40, "validation": 24, "valid": 40, "count": 24}  # what is generated, at most
FAST = ("training.epochs=1", "unlearning.epochs=1", "evaluation.generate=4", "deletion.ratio=15")


@cache
def config_of(name: str):
    return Planner(DIRS).cells([f"task={name}"], multirun=False)[0]


def small(name: str) -> list[str]:
    """Overrides that make a twin's run take seconds."""
    made = config_of(name).settings.task["generate"]
    fewer = [f"task.generate.{key}={min(made[key], MOST[key])}" for key in made if key in MOST]
    return [f"task={name}", *fewer, *FAST]


@pytest.fixture(scope="module", params=TWINS)
def records(request, tmp_path_factory):
    """{method: record} of every method on one twin; originals and retrained models are shared."""
    out = tmp_path_factory.mktemp("twin")
    typed = [*small(request.param), f"method={','.join(METHODS)}", f"out={out}"]
    found = {}
    for cell in Planner(DIRS).cells(typed, multirun=True):
        try:
            found[cell.key["method"]] = run(cell, Reporter(quiet=True))
        except NotApplicable as reason:
            found[cell.key["method"]] = str(reason)
    return found


def test_every_method_runs_on_the_twin_or_says_why_it_cannot(records):
    assert set(records) == set(METHODS)
    for method, record in records.items():
        if isinstance(record, str):
            assert method in record
        else:
            assert record.complete and record.metrics["unlearned"]["forget_loss"] is not None


def test_records_follow_the_schema(records):
    schema = json.loads((ROOT / "docs" / "record.schema.json").read_text(encoding="utf-8"))
    for record in records.values():
        if not isinstance(record, str):
            jsonschema.validate(json.loads(json.dumps(asdict(record))), schema)


def test_methods_move_the_model_and_the_others_do_not(records):
    def losses(record, role: str) -> list[float]:
        return [record.metrics[role][f"{split}_loss"] for split in ("forget", "retain", "test")]

    done = {method: record for method, record in records.items() if not isinstance(record, str)}
    for method in done.keys() & set(MOVING):
        assert losses(done[method], "unlearned") != losses(done[method], "original"), method
    assert losses(done["original"], "unlearned") == pytest.approx(losses(done["original"], "original"))
    assert losses(done["retrain"], "unlearned") == pytest.approx(losses(done["retrain"], "retrained"))


def test_what_the_modality_gives_is_scored_and_nothing_else_is_asked(records):
    record = next(r for r in records.values() if not isinstance(r, str))
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
