"""What every method must satisfy (the generic checks): a new yaml is covered without an edit here."""

from __future__ import annotations

from dataclasses import fields, replace
from functools import cache

import pytest
import torch
from families import FAMILIES
from tiny import ADAMW

from mubench import catalog
from mubench.adapters.lora import LoRA
from mubench.checking import component
from mubench.engine import Engine
from mubench.errors import Diverged, UsageError
from mubench.models import reference_seed
from mubench.plan import Planner
from mubench.progress import Reporter
from mubench.run import Run
from mubench.schema import Recipe, Trainer

DIRS = catalog.config_dirs()
METHODS = catalog.names("method", DIRS)
MOVING = [name for name in METHODS if name not in ("original", "retrain")]


@cache
def config_of(name: str):
    return Planner(DIRS).cells([f"method={name}"], multirun=False)[0].settings


def build(name: str, **changes):
    return component({**config_of(name).method, **changes}, "method")


def served(name: str, family: str):
    """The method, where it applies to the family."""
    method = build(name)
    if not FAMILIES[family]().serves(method):
        pytest.skip(f"{name} does not apply to {family}")
    return method


def make_run(method, family="image", forget=None, retain=None, seed=3, **recipe) -> Run:
    case = FAMILIES[family]()
    rows = {"forget": case.forget if forget is None else forget,
            "retain": case.retain if retain is None else retain,
            "validation": range(len(case.validation))}  # fmt: skip
    settings = {**case.recipe, "schedule": "constant", "optimizer": dict(ADAMW)}
    run = Run(
        case.spec.fresh(0), case.spec, case.modality, {"train": case.train, "validation": case.validation},
        {n: torch.tensor(list(rows[n]), dtype=torch.int64) for n in method.reads},
        Recipe(**{**settings, **recipe}), Engine(Trainer(device="cpu")), seed, Reporter(quiet=True),
    )  # fmt: skip
    run.hooks = method.hooks(run)
    return run


def unlearned(method, family="image", **settings) -> torch.Tensor:
    run = make_run(method, family, **settings)
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


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", METHODS)
def test_the_same_seed_gives_the_same_bits_whatever_the_global_generator(name, family):
    torch.manual_seed(1)
    first = unlearned(served(name, family), family)
    torch.manual_seed(2)
    state = torch.get_rng_state()
    second = unlearned(build(name), family)
    assert torch.equal(first, second)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("name", MOVING)
def test_another_seed_gives_other_weights(name):
    assert not torch.equal(unlearned(build(name)), unlearned(build(name), seed=4))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", MOVING)
def test_the_model_moves_and_its_teachers_do_not(name, family):
    method = served(name, family)
    run = make_run(method, family)
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


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", MOVING)
def test_sets_that_are_declared_have_an_effect_and_others_may_be_absent(name, family):
    method, case = served(name, family), FAMILIES[family]()
    result = unlearned(method, family)
    assert torch.isfinite(result).all()
    for part, other in (("forget", case.forget[:-4]), ("retain", case.retain[:-4])):
        changed = unlearned(build(name), family, **{part: other})
        assert torch.equal(result, changed) == (part not in method.needs), part


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", MOVING)
def test_every_row_is_used_when_the_set_is_no_multiple_of_the_batch(name, family):
    case = FAMILIES[family]()
    for forget in (case.forget, case.forget[:3]):  # 3: smaller than one batch
        method = served(name, family)
        run = make_run(method, family, forget=forget)
        seen: set[int] = set()
        prepare = run.prepare

        def watched(batch, generator=None, prepare=prepare, seen=seen):
            parts = (batch.forget, batch.retain) if hasattr(batch, "forget") else (batch,)
            seen.update(row for part in parts for row in part.index.tolist())
            return prepare(batch, generator)

        run.prepare = watched
        method.prepare(run)
        method.unlearn(run)
        expected = set(forget) if "forget" in method.needs else set(case.retain)
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


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", MOVING)
def test_divergence_is_named_not_hidden(name, family):
    with pytest.raises(Diverged, match="diverged"):
        unlearned(served(name, family), family, lr=1e3, weight_decay=1e3, clip=None, epochs=10)


def test_reading_an_undeclared_set_is_refused():
    method = build("finetune")
    run = make_run(method)
    with pytest.raises(UsageError, match="forget set without declaring"):
        run.stream("forget")


def stopping(method, run, after: int):
    """The method's own hook, interrupted after some steps."""
    steps = 0

    def after_step() -> None:
        nonlocal steps
        method.after_step(run)
        steps += 1
        if steps == after:
            raise KeyboardInterrupt

    return after_step


@pytest.mark.parametrize("name", MOVING)
def test_an_interrupted_method_goes_on_to_the_same_bits(name, tmp_path):
    """A checkpoint after every look; the second process starts from the first's last one."""
    whole = unlearned(build(name))
    method = build(name)
    run = make_run(method)
    run.checkpoints, run.engine = tmp_path, Engine(Trainer(device="cpu", checkpoint_minutes=0))
    run.hooks = replace(run.hooks, after_step=stopping(method, run, after=7))
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


@pytest.mark.parametrize("name", MOVING)
def test_with_lora_the_updates_and_the_head_move_alone_and_a_resumed_run_ends_the_same(name, tmp_path):
    def start(checkpoints=None):
        method = build(name)
        run = make_run(method)
        run.model = LoRA("lora").attach(run.model, 4, 3, run.reporter)
        run.checkpoints, run.engine = checkpoints, Engine(Trainer(device="cpu", checkpoint_minutes=0))
        return method, run

    method, whole = start()
    before = {n: w.clone() for n, w in whole.model.state_dict().items()}
    method.prepare(whole)
    method.unlearn(whole)
    after = whole.model.state_dict()
    moved = {n for n in after if not torch.equal(before[n], after[n])}
    assert moved and all(".lora_" in n or n.startswith("head.") for n in moved)
    assert any(".lora_B." in n for n in moved)

    method, cut = start(tmp_path)
    cut.hooks = replace(cut.hooks, after_step=stopping(method, cut, after=7))
    method.prepare(cut)
    with pytest.raises(KeyboardInterrupt):
        method.unlearn(cut)
    method, resumed = start(tmp_path)
    method.prepare(resumed)
    method.unlearn(resumed)
    found = resumed.model.state_dict()
    assert all(torch.equal(found[n], after[n]) for n in after)


def test_under_equal_seeds_start_teacher_and_reference_are_three_networks():
    """The incompetent teacher is not the original's start, and zrf's reference is neither of them."""
    run = make_run(build("bad_teaching"), seed=42)
    networks = [run.spec.start(42), run.fresh_model(), run.spec.fresh(reference_seed(42))]
    first, second, third = (torch.cat([p.flatten() for p in n.parameters()]) for n in networks)
    assert not torch.equal(first, second)
    assert not torch.equal(second, third) and not torch.equal(first, third)
