"""Every method passes every check of `mubench verify` on every family: a new yaml is covered by itself."""

from __future__ import annotations

from dataclasses import fields, replace
from functools import cache

import pytest
import torch
from composed import DIRS, METHODS, declared, node
from families import FAMILIES
from wrong_methods import WRONG, node_of

from mubench import catalog
from mubench.adapters.lora import LoRA
from mubench.engine import Engine
from mubench.errors import UsageError
from mubench.models import reference_seed
from mubench.networks.resnet import SmallResNet
from mubench.schema import Trainer
from mubench.training import train_mode
from mubench.typed import component
from mubench.verify.checks import CHECKS, findings
from mubench.verify.conduct import stopping
from mubench.verify.problem import Problem
from mubench.verify.settings import others
from mubench.verify.subject import Subject, copied, same


@cache
def problem(family: str) -> Problem:
    """A family's data as the checks take it: fewer rows, some of them in no set."""
    case = FAMILIES[family]()
    forget, retain = (torch.tensor(rows) for rows in (case.forget[:6], case.retain[:7]))
    return Problem(
        family, "tiny", case.modality, case.spec, case.train, case.validation, forget, retain,
        case.recipe["lr"],
    )  # fmt: skip


PAIRS = [(name, family) for name in METHODS for family in FAMILIES if problem(family).serves(declared(name))]


@pytest.mark.parametrize("name", METHODS)
def test_the_yaml_lists_exactly_the_methods_settings(name):
    method = component(node(name), "method")
    assert node(name)["name"] == name
    assert set(node(name)) - {"_target_"} == {item.name for item in fields(method)}
    assert type(method).__doc__ and catalog.describe("method", name, DIRS)


@pytest.mark.parametrize(("name", "family"), PAIRS)
def test_every_check_passes(name, family):
    failed = [
        f"{f.check}: {f.found}" for f in findings(Subject(node(name), problem(family))) if f.passed is False
    ]
    assert not failed, "\n".join(failed)


@pytest.mark.parametrize("kind", WRONG, ids=lambda kind: kind.__name__)
def test_a_method_made_wrong_on_purpose_is_caught(kind):
    check, family = WRONG[kind]
    subject = Subject(node_of(kind), problem(family))
    found = CHECKS[check](subject) if check in CHECKS else next(findings(subject))
    assert found.passed is False, found.found
    assert "it fails with " not in found.found or check == "runs", (
        found.found
    )  # by its finding, not by an accident


def test_a_method_that_cannot_be_carried_out_has_one_finding():
    kind = next(kind for kind in WRONG if kind.__name__ == "RaisesAtOnce")
    found = list(findings(Subject(node_of(kind), problem("image"))))
    assert [(f.check, f.passed) for f in found] == [("runs", False)]
    assert found[0].found == "it fails with ValueError: no idea what to do"


def test_other_values_of_a_setting_are_its_neighbours_or_the_classs_own():
    assert list(others(True)) == [False]
    assert list(others(1)) == [0, 2] and list(others(4)) == [2, 5, 8, 1]
    assert list(others(0.5)) == [0.25, 1.0, 5.0, 0.9, 0.01] and 0.5 in list(others(0.0))
    assert list(others("once", ("once", "epoch"))) == ["epoch"] and list(others("once")) == []
    assert list(others(None)) == [] and list(others({"lr": True, "name": "x"})) == [
        {"lr": False, "name": "x"}
    ]
    assert list(others([1.0, True])) and [1.0, False] in list(others([1.0, True]))


def test_reading_an_undeclared_set_is_refused():
    run = problem("image").run(component(node("finetune"), "method"))
    with pytest.raises(UsageError, match="forget set without declaring"):
        run.stream("forget")


@pytest.mark.parametrize("name", ["salun", "scrub"])
def test_with_lora_an_interrupted_run_goes_on_to_the_same_bits(name, tmp_path):
    subject = Subject(node(name), problem("image"))
    whole = subject.unlearn(adapter=LoRA("lora"))
    method = subject.build()
    run = subject.problem.run(method, adapter=LoRA("lora"), checkpoints=tmp_path)
    run.hooks = replace(run.hooks, after_step=stopping(run.hooks.after_step, 7))
    method.prepare(run)
    with pytest.raises(KeyboardInterrupt):
        method.unlearn(run)
    assert same(whole.end, subject.unlearn(adapter=LoRA("lora"), checkpoints=tmp_path).end)


def test_counting_operations_changes_no_bit_of_a_resumed_training(tmp_path):
    """Torch's counter takes operations apart: the count is in the checkpoint, not made again."""
    settings, engine = node("finetune"), Engine(Trainer(device="cpu", threads=1, checkpoint_minutes=0))

    def finish(folder, after=None):
        method = component(settings, "method")
        run = problem("text_to_image").run(method, checkpoints=folder, epochs=3)
        run.engine = engine
        if after is not None:
            run.hooks = replace(run.hooks, after_step=stopping(run.hooks.after_step, after))
        method.unlearn(run)
        return run

    whole = finish(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        finish(tmp_path / "cut", after=5)
    resumed = finish(tmp_path / "cut")
    assert resumed.effort.flops == whole.effort.flops and whole.effort.flops
    assert same(copied(resumed.model), copied(whole.model))


def test_group_normalisation_behind_held_weights_trains_on_the_cpu():
    """In channels_last memory torch crashes there."""
    model = SmallResNet(4, 1, 8, widths=[8, 8], norm="group").to(memory_format=torch.channels_last)
    model.requires_grad_(False)
    model.stages[1].requires_grad_(True)
    train_mode(model)
    model(torch.rand(2, 1, 8, 8)).sum().backward()
    assert all(w.grad is not None for w in model.stages[1].parameters())


def test_under_equal_seeds_start_teacher_and_reference_are_three_networks():
    """The incompetent teacher is not the original's start, and zrf's reference is neither of them."""
    run = problem("image").run(component(node("bad_teaching"), "method"), seed=42)
    networks = [run.spec.start(42), run.fresh_model(), run.spec.fresh(reference_seed(42))]
    first, second, third = (torch.cat([p.flatten() for p in n.parameters()]) for n in networks)
    assert not torch.equal(first, second)
    assert not torch.equal(second, third) and not torch.equal(first, third)
