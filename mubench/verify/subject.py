"""The method under the checks: built afresh for each of them, its runs kept where several look at one."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mubench.methods.base import Method
from mubench.typed import component
from mubench.verify.problem import Problem
from mubench.verify.watched import Watched

State = dict[str, Tensor]
OTHER_SEED = 4
ROUNDING = 1e-6  # of the largest gradient


@dataclass
class Outcome:
    """One unlearning, done."""

    method: Method
    run: Watched
    rows: dict[str, Tensor]  # of the sets that it was given
    start: State  # weights and buffers of the model before `prepare`
    free: frozenset[str]  # names of the weights that might move
    left: State  # tensors that `prepare` left in the method, by path
    prepared_steps: int  # optimizer steps that `prepare` took
    teachers: list[tuple[str, nn.Module, State]]  # networks in the method after `prepare`
    end: State = field(default_factory=dict)
    global_draws: list[str] = field(default_factory=list)  # global generators that were drawn from

    @property
    def moved(self) -> set[str]:
        """Names of weights and buffers whose bits differ from the start's."""
        return {name for name in self.start if not torch.equal(self.start[name], self.end[name])}


class Subject:
    """A method, as its settings say, on a problem."""

    def __init__(self, node: Mapping[str, Any], problem: Problem, typed: Collection[str] = ()) -> None:
        """`typed` are the settings that are wanted as they stand, whatever the class would rather try."""
        trial = component(node, "method").trial
        self.node = {**node, **{name: value for name, value in trial.items() if name not in typed}}
        self.problem = problem
        self.on_class = class_content(type(self.facts))  # before anything ran
        self.labels: list[tuple[Tensor, Tensor, Watched]] = []  # of every run: rows, targets

    def build(self, **changes: Any) -> Method:
        """A new object; UsageError for settings that it refuses."""
        method: Method = component({**self.node, **changes}, "method")
        return method

    def unlearn(self, method: Method | None = None, **settings: Any) -> Outcome:
        """The whole procedure under `Problem.run`'s settings."""
        method = self.build() if method is None else method
        outcome = prepared(method, self.problem.run(method, **settings))
        method.unlearn(outcome.run)
        outcome.end = copied(outcome.run.model)
        self.labels += [(rows, targets, outcome.run) for rows, targets in outcome.run.notes.labels]
        return outcome

    @cached_property
    def facts(self) -> Method:
        """An object to ask for its class facts and the sets it reads."""
        return self.build()

    @cached_property
    def base(self) -> Outcome:
        """The first unlearning, which most checks look at."""
        with disturbed(1) as touched:
            found = self.unlearn()
        found.global_draws = touched
        return found

    @cached_property
    def elsewhere(self) -> Outcome:
        """With a D_f smaller than one batch, or without a D_f another D_r."""
        problem = self.problem
        if "forget" in self.facts.reads:
            count = len(problem.forget) if len(problem.forget) < 4 else 3
            return self.unlearn(forget=problem.forget[-count:])
        return self.unlearn(retain=problem.retain[:-4])

    def other(self, part: str) -> Outcome:
        """With other examples in the place of some of D_f or D_r, everything else being equal."""
        mine: Tensor = getattr(self.problem, part)
        spare = self.problem.spare[: len(mine) - 1]
        changed: dict[str, Any] = {part: torch.cat([mine[len(spare) :], spare])}
        return self.unlearn(**changed)

    @cached_property
    def again(self) -> Outcome:
        """As `base`, by an object that has unlearned elsewhere, with other examples in undeclared rows."""
        used = self.elsewhere.method
        with disturbed(2):
            return self.unlearn(used, spoilt=True)

    @cached_property
    def live(self) -> set[str]:
        """Weights on which the loss of the training rows hangs by more than rounding."""
        run = self.problem.run(_Everything())
        found = [run.gradients(part) for part in ("forget", "retain")]
        sizes = {name: max(float(part[name].abs().max()) for part in found) for name in found[0]}
        return {name for name, size in sizes.items() if size > ROUNDING * max(sizes.values())}


def class_content(kind: type) -> dict[str, int]:
    """Attributes of a class, with the sizes of those that hold something."""
    sized = (dict, list, set)
    return {name: len(item) if isinstance(item, sized) else 0 for name, item in vars(kind).items()}


class _Everything(Method):
    """A method that may read all sets: for runs of our own."""

    needs = frozenset({"forget", "retain"})


def prepared(method: Method, run: Watched) -> Outcome:
    """After `prepare`, before the first step."""
    start, free = copied(run.model), frozenset(run.weights)
    rows = {name: part.clone() for name, part in run.rows.items()}
    method.prepare(run)
    left = {path: t.clone() for path, t in tensors_in(method)}
    teachers = [(path, m, copied(m)) for path, m in networks_in(method) if m is not run.model]
    return Outcome(method, run, rows, start, free, left, run.effort.steps, teachers)


def copied(model: nn.Module) -> State:
    """Every weight and buffer, cloned; also buffers that are never saved."""
    named = [*model.named_parameters(), *model.named_buffers()]
    return {name: value.detach().clone() for name, value in named}


def same(first: State, second: State) -> bool:
    """Equal bits throughout."""
    return first.keys() == second.keys() and all(torch.equal(first[n], second[n]) for n in first)


def things_in(value: Any, path: str = "", depth: int = 4) -> Iterator[tuple[str, Any]]:
    """Whatever a method keeps, in its containers and in methods within it too."""
    if isinstance(value, Method):
        if path:
            yield path, value
        value = vars(value)
    if isinstance(value, Mapping) and depth:
        for name, item in value.items():
            yield from things_in(item, f"{path}.{name}".lstrip("."), depth - 1)
    elif isinstance(value, list | tuple) and depth:
        for place, item in enumerate(value):
            yield from things_in(item, f"{path}[{place}]", depth - 1)
    else:
        yield path, value


def tensors_in(method: Method) -> list[tuple[str, Tensor]]:
    """Tensors by path."""
    return [(path, item) for path, item in things_in(method) if isinstance(item, Tensor)]


def networks_in(method: Method) -> list[tuple[str, nn.Module]]:
    """Networks by path."""
    return [(path, item) for path, item in things_in(method) if isinstance(item, nn.Module)]


@contextmanager
def disturbed(seed: int) -> Iterator[list[str]]:
    """Global generators of torch, NumPy and Python at a seed of their own inside, as they were outside.

    Afterwards the list names those that were drawn from.
    """
    before, touched = (torch.get_rng_state(), np.random.get_state(), random.getstate()), list[str]()
    torch.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)
    inside = _positions()
    try:
        yield touched
    finally:
        touched += [name for name, position in _positions().items() if position != inside[name]]
        torch.set_rng_state(before[0])
        np.random.set_state(before[1])
        random.setstate(before[2])


def _positions() -> dict[str, Any]:
    numpy: Any = np.random.get_state()
    return {
        "torch": torch.get_rng_state().numpy().tobytes(),
        "NumPy": (numpy[1].tobytes(), numpy[2]),
        "Python": random.getstate(),
    }
