"""What every method must satisfy (the generic checks): a new yaml is covered without an edit here."""

from __future__ import annotations

from dataclasses import fields, replace
from functools import cache

import numpy as np
import pytest
import torch
from tiny import ADAMW

from mubench import catalog
from mubench.checking import component
from mubench.data import Columns
from mubench.engine import Engine
from mubench.errors import Diverged, UsageError
from mubench.modalities.image import Image, InputSpec
from mubench.models import ModelSpec, reference_seed
from mubench.plan import Planner
from mubench.progress import Reporter
from mubench.run import Run
from mubench.schema import Recipe, Trainer

DIRS = catalog.config_dirs()
METHODS = catalog.names("method", DIRS)
MOVING = [name for name in METHODS if name not in ("original", "retrain")]
FORGET, RETAIN = list(range(0, 21)), list(range(21, 60))  # 21 rows: not a multiple of the batch of 8


@cache
def config_of(name: str):
    return Planner(DIRS).cells([f"method={name}"], multirun=False)[0].settings


def build(name: str, **changes):
    return component({**config_of(name).method, **changes}, "method")


def split(count: int, seed: int) -> Columns:
    rng = np.random.default_rng(seed)
    pixels = torch.from_numpy(rng.integers(0, 256, (count, 1, 8, 8), dtype=np.uint8))
    return Columns({"pixel_values": pixels}, torch.from_numpy(rng.integers(0, 4, count)), np.arange(count))


def make_run(method, forget=None, retain=None, seed=3, **recipe) -> Run:
    rows = {"forget": FORGET if forget is None else forget, "retain": RETAIN if retain is None else retain,
            "validation": range(20)}  # fmt: skip
    spec = ModelSpec(
        {"_target_": "mubench.networks.resnet.SmallResNet", "widths": [8, 8]}, 4,
        {"channels": 1, "image_size": 8}, InputSpec(8, (0.5,), (0.3,)),
    )  # fmt: skip
    settings = {"epochs": 3, "batch_size": 8, "lr": 1e-2, "schedule": "constant", "optimizer": dict(ADAMW)}
    run = Run(
        spec.fresh(0), spec, Image("image"), {"train": split(60, 0), "validation": split(20, 1)},
        {n: torch.tensor(list(rows[n]), dtype=torch.int64) for n in method.reads},
        Recipe(**{**settings, **recipe}), Engine(Trainer(device="cpu")), seed, Reporter(quiet=True),
    )  # fmt: skip
    run.hooks = method.hooks(run)
    return run


def unlearned(method, **settings) -> torch.Tensor:
    run = make_run(method, **settings)
    method.prepare(run)
    method.unlearn(run)
    return torch.nn.utils.parameters_to_vector(run.model.parameters()).detach()


@pytest.mark.parametrize("name", METHODS)
def test_the_yaml_lists_exactly_the_methods_settings(name):
    node = config_of(name).method
    method = component(node, "method")
    assert node["name"] == name
    assert set(node) - {"_target_"} == {item.name for item in fields(method)}
    assert type(method).__doc__ and catalog.describe("method", name, DIRS)


@pytest.mark.parametrize("name", METHODS)
def test_the_same_seed_gives_the_same_bits_whatever_the_global_generator(name):
    torch.manual_seed(1)
    first = unlearned(build(name))
    torch.manual_seed(2)
    state = torch.get_rng_state()
    second = unlearned(build(name))
    assert torch.equal(first, second)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("name", MOVING)
def test_another_seed_gives_other_weights(name):
    assert not torch.equal(unlearned(build(name)), unlearned(build(name), seed=4))


@pytest.mark.parametrize("name", MOVING)
def test_the_model_moves_and_its_teachers_do_not(name):
    method = build(name)
    run = make_run(method)
    start = {n: w.clone() for n, w in run.model.state_dict().items()}
    method.prepare(run)
    teachers = {key: value for key, value in vars(method).items() if isinstance(value, torch.nn.Module)}
    before = {k: [w.clone() for w in t.state_dict().values()] for k, t in teachers.items()}
    method.unlearn(run)
    weights = dict(run.model.named_parameters())
    assert any(not torch.equal(weights[n], start[n]) for n in weights)
    for key, teacher in teachers.items():
        after = teacher.state_dict().values()
        assert all(torch.equal(a, b) for a, b in zip(before[key], after, strict=True)), key
        assert not any(p.requires_grad or p.grad is not None for p in teacher.parameters())


@pytest.mark.parametrize("name", MOVING)
def test_sets_that_are_declared_have_an_effect_and_others_may_be_absent(name):
    method = build(name)
    result = unlearned(method)
    assert torch.isfinite(result).all()
    for part, other in (("forget", FORGET[:-4]), ("retain", RETAIN[:-4])):
        changed = unlearned(build(name), **{part: other})
        assert torch.equal(result, changed) == (part not in method.needs), part


@pytest.mark.parametrize("name", MOVING)
def test_every_row_is_used_when_the_set_is_no_multiple_of_the_batch(name):
    for forget in (FORGET, FORGET[:3]):  # 3: smaller than one batch
        method = build(name)
        run = make_run(method, forget=forget)
        seen: set[int] = set()
        prepare = run.prepare

        def watched(batch, generator=None, prepare=prepare, seen=seen):
            parts = (batch.forget, batch.retain) if hasattr(batch, "forget") else (batch,)
            seen.update(row for part in parts for row in part.index.tolist())
            return prepare(batch, generator)

        run.prepare = watched
        method.prepare(run)
        method.unlearn(run)
        expected = set(forget) if "forget" in method.needs else set(RETAIN)
        assert expected <= seen


def another(value):
    """A different value of the same type."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, str):
        return {"once": "epoch"}[value]
    return max(1, value // 2) if isinstance(value, int) else value / 2


@pytest.mark.parametrize("name", MOVING)
def test_every_setting_changes_the_result(name):
    base = unlearned(build(name))
    for key, value in config_of(name).method.items():
        if key in ("name", "_target_"):
            continue
        other = another(value)
        changed = unlearned(build(name, **{key: other}))
        if key == "rewind":  # may choose the last epoch: then the weights are the same
            continue
        assert not torch.equal(base, changed), f"{key}={other} changes nothing"


@pytest.mark.parametrize("name", MOVING)
def test_divergence_is_named_not_hidden(name):
    with pytest.raises(Diverged, match="diverged"):
        unlearned(build(name), lr=1e3, weight_decay=1e3, clip=None, epochs=10)


def test_reading_an_undeclared_set_is_refused():
    method = build("finetune")
    run = make_run(method)
    with pytest.raises(UsageError, match="forget set without declaring"):
        run.stream("forget")


@pytest.mark.parametrize("name", MOVING)
def test_an_interrupted_method_goes_on_to_the_same_bits(name, tmp_path):
    """A checkpoint after every look; the second process starts from the first's last one."""
    whole = unlearned(build(name))
    method = build(name)
    run = make_run(method)
    run.checkpoints, run.engine = tmp_path, Engine(Trainer(device="cpu", checkpoint_minutes=0))
    steps = 0

    def stop_at_seven() -> None:
        nonlocal steps
        method.after_step(run)
        steps += 1
        if steps == 7:
            raise KeyboardInterrupt

    run.hooks = replace(run.hooks, after_step=stop_at_seven)
    method.prepare(run)
    with pytest.raises(KeyboardInterrupt):
        method.unlearn(run)
    again = build(name)
    resumed = make_run(again)
    resumed.checkpoints, resumed.engine = run.checkpoints, run.engine
    again.prepare(resumed)
    again.unlearn(resumed)
    result = torch.nn.utils.parameters_to_vector(resumed.model.parameters()).detach()
    assert torch.equal(whole, result)


def test_under_equal_seeds_start_teacher_and_reference_are_three_networks():
    """The incompetent teacher is not the original's start, and zrf's reference is neither of them."""
    run = make_run(build("bad_teaching"), seed=42)
    networks = [run.spec.start(42), run.fresh_model(), run.spec.fresh(reference_seed(42))]
    first, second, third = (torch.cat([p.flatten() for p in n.parameters()]) for n in networks)
    assert not torch.equal(first, second)
    assert not torch.equal(second, third) and not torch.equal(first, third)
