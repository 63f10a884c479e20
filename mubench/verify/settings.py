"""Whether every setting of a method's yaml changes the result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mubench.curricula.superloss import SuperLoss
from mubench.errors import Diverged, UsageError
from mubench.verify.finding import Finding, bad, good, idle, listed
from mubench.verify.subject import Outcome, Subject, same

FIXED = ("name", "_target_")


def settings(subject: Subject) -> Finding:
    """Each setting, changed alone, changes the weights or the sets that are read."""
    problem, names = subject.problem, [name for name in subject.node if name not in FIXED]
    names = [n for n in names if subject.facts.acts(n, problem.modality.gives, problem.spec.classes)]
    if not names:
        return idle("no setting of it acts here")
    for name in names:
        wrong = _inert(subject, name)
        if wrong:
            return bad(wrong)
    return good(f"{listed(names, 8)}: each changes the result")


def options(subject: Subject) -> Finding:
    """A curriculum and the learning rate change the result if it says that it trains, else nothing."""
    trains = subject.facts.takes_steps
    changed: dict[str, dict[str, Any]] = {
        "curriculum=superloss": {"curriculum": SuperLoss(lam=0.1)},
        "unlearning.lr": {"lr": subject.problem.lr / 2},
    }
    for option, change in changed.items():
        acts = not same(subject.base.end, subject.unlearn(**change).end)
        if trains and not acts:
            return bad(f"{option} has no effect: losses go through run.reduce, steps through run.fit")
        if acts and not trains:
            return bad(f"{option} has an effect, though the class fact `trains` denies it")
    return good(f"{listed(list(changed))}: {'each changes' if trains else 'neither changes'} the result")


def _inert(subject: Subject, name: str) -> str | None:
    """What is wrong with a setting; None if one of its other values has an effect."""
    beside = dict(subject.facts.companions.get(name, {}))
    base = subject.unlearn(subject.build(**beside)) if beside else subject.base
    tried = []
    for value in others(subject.node[name], tuple(subject.facts.choices.get(name, ()))):
        try:
            method = subject.build(**{**beside, name: value})
        except UsageError:
            continue
        tried.append(value)
        try:
            if method.reads != base.method.reads or not _same_end(base, subject.unlearn(method)):
                return None
        except Diverged:
            return None
        except UsageError:
            tried.pop()
    if not tried:
        return f"no other value of {name} is known: list some in the class fact `choices`"
    return (
        f"{name}={listed(tried, 4)} gives the same weights as {name}={subject.node[name]}: it has no effect"
    )


def _same_end(first: Outcome, second: Outcome) -> bool:
    return same(first.end, second.end)


def others(value: Any, choices: tuple[Any, ...] = ()) -> Iterator[Any]:
    """Other values of a setting: the class's own choices, else neighbours of a number, half of it first."""
    yield from (choice for choice in choices if choice != value)
    if choices:
        return
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        yield from (n for n in dict.fromkeys((value // 2, value + 1, 2 * value, 1)) if n != value)
    elif isinstance(value, float):
        yield from (
            x for x in dict.fromkeys((value / 2, 2 * value, 10 * value, 0.5, 0.9, 1.0, 0.01)) if x != value
        )
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from ({**value, name: other} for other in others(item) if name not in FIXED)
    elif isinstance(value, list | tuple):
        for place, item in enumerate(value):
            yield from ([*value[:place], other, *value[place + 1 :]] for other in others(item))
