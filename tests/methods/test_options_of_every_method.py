"""Curriculum and optimizer go with every method, family and adapter; a new yaml is covered by itself."""

from __future__ import annotations

from dataclasses import fields, replace
from functools import cache

import pytest
import torch
from composed import DIRS, METHODS, declared, node
from families import FAMILIES

from mubench.adapters.lora import LoRA
from mubench.curricula.base import Curriculum, Uniform
from mubench.curricula.superloss import SuperLoss
from mubench.engine import Engine
from mubench.plan import Planner
from mubench.progress import Reporter
from mubench.run import Run
from mubench.schema import Recipe, Trainer
from mubench.typed import component

PAIRS = [
    (name, family)
    for family in FAMILIES
    for name in METHODS
    if name not in ("original", "retrain") and FAMILIES[family]().serves(declared(name))
]


class Plain(Uniform):
    """The mean, written out; remembers which terms it was given."""

    def reduce(self, losses, term):
        self.terms = {*getattr(self, "terms", ()), term}
        return losses.mean()


@cache
def optimizer(name: str):
    return Planner(DIRS).cells([f"optimizer={name}"], multirun=False)[0].settings.optimizer


def build(name: str):
    """The method, in the small form in which it is tried elsewhere too."""
    return component({**node(name), **declared(name).trial}, "method")


def make_run(
    method, family, curriculum: Curriculum, kind="adamw", lora=False, checkpoints=None, **recipe
) -> Run:
    case = FAMILIES[family]()
    rows = {"forget": case.forget, "retain": case.retain, "validation": range(len(case.validation))}
    recipe = Recipe(**{**case.recipe, "schedule": "constant", "optimizer": dict(optimizer(kind)), **recipe})
    model = case.spec.fresh(0)
    if lora:
        model = LoRA("lora").attach(model, case.spec.classes, 3, Reporter(quiet=True))
    run = Run(
        model, case.spec, case.modality, {"train": case.train, "validation": case.validation},
        {n: torch.tensor(list(rows[n]), dtype=torch.int64) for n in method.reads}, recipe,
        Engine(Trainer(device="cpu", checkpoint_minutes=0)), 3, Reporter(quiet=True), checkpoints,
        lambda network: LoRA("lora").attach(network, case.spec.classes, 4, Reporter(quiet=True))
        if lora else network,
        curriculum,
    )  # fmt: skip
    run.hooks = method.hooks(run)
    return run


def finish(method, run: Run) -> torch.Tensor:
    method.prepare(run)
    method.unlearn(run)
    return torch.nn.utils.parameters_to_vector(run.model.parameters()).detach()


def unlearned(name, family, curriculum=None, **more) -> torch.Tensor:
    method = build(name)
    return finish(method, make_run(method, family, curriculum or Uniform(), **more))


@cache
def plainly(name, family) -> tuple[torch.Tensor, int]:
    """The weights after AdamW and no curriculum, and the steps it took."""
    method = build(name)
    run = make_run(method, family, Uniform())
    return finish(method, run), run.effort.steps


@pytest.mark.parametrize(("name", "family"), PAIRS)
def test_superloss_changes_what_a_loss_makes_and_uniform_is_the_mean_to_the_bit(name, family):
    plain = Plain()
    mean = unlearned(name, family, plain)
    assert torch.equal(plainly(name, family)[0], mean)
    terms = getattr(plain, "terms", set())
    assert all(terms), f"{name} reduces losses without naming the term"
    weighed = unlearned(name, family, SuperLoss(lam=0.1))
    assert torch.isfinite(weighed).all() and torch.equal(weighed, mean) == (not terms)
    assert declared(name).takes_steps == bool(terms)


@pytest.mark.parametrize(("name", "family"), PAIRS)
def test_sophia_moves_what_an_optimizer_moves(name, family):
    (adamw, steps), sophia = plainly(name, family), unlearned(name, family, kind="sophia")
    assert torch.isfinite(sophia).all() and torch.equal(adamw, sophia) == (steps == 0)
    assert declared(name).takes_steps == (steps > 0)


@pytest.mark.parametrize("name", [name for name in METHODS if not declared(name).takes_steps])
def test_nothing_of_the_recipe_but_the_batch_reaches_a_method_without_steps(name):
    """So that what is typed of it is refused, and the batch is not."""
    family = next(family for family in FAMILIES if FAMILIES[family]().serves(declared(name)))
    plain, _ = plainly(name, family)
    for setting in fields(Recipe):
        if setting.name in ("batch_size", "optimizer"):
            continue
        value = {"schedule": "linear", "accumulate": 2, "epochs": 3}.get(setting.name, 0.5)
        assert torch.equal(unlearned(name, family, **{setting.name: value}), plain), setting.name


@pytest.mark.parametrize("lora", [False, True])
@pytest.mark.parametrize(("name", "family"), [("scrub", "image"), ("neggrad_plus", "text_generation")])
def test_an_interrupted_run_under_both_goes_on_to_the_same_bits(name, family, lora, tmp_path, monkeypatch):
    """Sophia's averages and SuperLoss's means stand in the checkpoint."""
    monkeypatch.setattr("mubench.training.LOOK_EVERY", 1)
    options = {"kind": "sophia", "lora": lora}
    whole = unlearned(name, family, SuperLoss(), **options)
    method = build(name)
    run = make_run(method, family, SuperLoss(), checkpoints=tmp_path, **options)
    left = [2]

    def stop() -> None:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt

    run.hooks = replace(run.hooks, after_step=stop)
    with pytest.raises(KeyboardInterrupt):
        finish(method, run)
    (saved,) = [torch.load(path, weights_only=True) for path in tmp_path.glob("fit0.pt")]
    assert saved["curriculum"]["counts"] and saved["optimizer"]["param_groups"][0]["steps"] == 2
    method = build(name)
    resumed = make_run(method, family, SuperLoss(), checkpoints=tmp_path, **options)
    assert torch.equal(finish(method, resumed), whole)
