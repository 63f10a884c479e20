"""Whether what should move moves, and everything else keeps its bits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from mubench.adapters.lora import LoRA
from mubench.models import ModelSpec, seeded
from mubench.verify.finding import Finding, bad, good, idle, listed
from mubench.verify.problem import ADAMW, SGD
from mubench.verify.subject import Outcome, Subject, copied, prepared, same

MASK = "_mask"  # the name under which a method keeps {weight: where it may move}


def moves(subject: Subject) -> Finding:
    """All, some or none of the weights move, as declared."""
    outcome, declared = subject.base, subject.facts.moves
    weights = {name for name in outcome.start if name in dict(outcome.run.model.named_parameters())}
    moved = outcome.moved & weights
    if declared == "none":
        return bad(f"{listed(moved)} moved") if outcome.moved else good("no weight moves, as declared")
    if not moved:
        return bad("no weight moves")
    still = (subject.live & outcome.free) - moved
    if declared == "all" and still:
        return bad(f"{listed(sorted(still))} never moved, of weights that all may move")
    return good(f"{declared} of {len(weights)} weights move, as declared")


def shape(subject: Subject) -> Finding:
    """The model has the weights it had, and those that might move still may."""
    outcome = subject.base
    before = {name: value.shape for name, value in outcome.start.items()}
    if before != {name: value.shape for name, value in outcome.end.items()}:
        changed = set(outcome.start) ^ set(outcome.end)
        return bad(f"the model has other weights than before ({listed(sorted(changed)) or 'their shapes'})")
    if frozenset(outcome.run.weights) != outcome.free:
        lost = frozenset(outcome.run.weights) ^ outcome.free
        return bad(f"requires_grad of {listed(sorted(lost))} is not what it was")
    if outcome.run.notes.leaked:
        return bad(f"{listed(sorted(outcome.run.notes.leaked))} moved outside the scope of run.only")
    return good("names, shapes and requires_grad are as they were")


def teachers(subject: Subject) -> Finding:
    """Networks that a method keeps stay as they were, and without gradients."""
    outcome = subject.base
    kept = [(path, m, state) for path, m, state in outcome.teachers if type(m) is type(outcome.run.model)]
    if "original" in vars(outcome.run):
        known = {name: outcome.start[name] for name in copied(outcome.run.original)}
        kept.append(("run.original", outcome.run.original, known))
    for path, network, state in kept:
        if not same(copied(network), state):
            return bad(f"the teacher {path} moved")
        if any(w.requires_grad or w.grad is not None for w in network.parameters()):
            return bad(f"the teacher {path} takes gradients")
    return (
        good(f"{listed(dict.fromkeys(p for p, *_ in kept))} kept every bit") if kept else idle("no teacher")
    )


def fresh_teachers(subject: Subject) -> Finding:
    """A freshly initialised teacher shares no weight with the original, however the network holds it."""
    if not subject.base.run.notes.drew or not subject.base.teachers:
        return idle("no fresh teacher")
    problem = subject.problem
    spec = Freed(**vars(problem.spec))
    run = replace(problem, spec=spec, trained=0).run(method := subject.build())
    outcome = prepared(method, run)
    for path, network, state in outcome.teachers:
        shared = {n for n in _random(run.model) if n in state and torch.equal(state[n], outcome.start[n])}
        if shared and shared != set(_random(run.model)) and type(network) is type(run.model):
            return bad(f"{listed(sorted(shared))} of {path} is the original's: not all is freshly drawn")
    return good("no weight of a fresh teacher is the original's")


def _random(model: nn.Module) -> list[str]:
    """Names of weights that are no constants."""
    return [n for n, w in model.named_parameters() if w.numel() > 1 and bool((w != w.flatten()[0]).any())]


@dataclass(frozen=True)
class Freed(ModelSpec):
    """A network with a weight of its own in no layer, as class tokens and position embeddings are."""

    def _build(self, seed: int, checkpoint: str | None, **more: Any) -> nn.Module:
        model = super()._build(seed, checkpoint, **more)
        with seeded(seed):
            model.register_parameter("weight_in_no_layer", nn.Parameter(torch.randn(4)))
        return model


def mask(subject: Subject) -> Finding:
    """Off its mask every weight keeps the original's bits, under weight decay and momentum."""
    if not _masks(subject.base):
        return idle(f"no mask of weights (a method keeps it as {MASK})")
    for optimizer in (ADAMW, SGD):
        outcome = subject.unlearn(optimizer=dict(optimizer), weight_decay=0.1, clip=0.1)
        for name, part in _masks(outcome).items():
            if not torch.equal(outcome.start[name][~part], outcome.end[name][~part]):
                return bad(f"{name} moved off the mask under {optimizer['name']} with weight decay")
    return good("off the mask no bit moved under AdamW and SGD with momentum and decay")


def _masks(outcome: Outcome) -> dict[str, Tensor]:
    return {name: part for name, part in _named_masks(outcome.left) if name in outcome.start}


def _named_masks(left: dict[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    for path, value in left.items():
        head, _, name = path.partition(".")
        if head == MASK and value.dtype == torch.bool:
            yield name, value


def adapter(subject: Subject) -> Finding:
    """Under LoRA only the updates and the head move; the rest keeps its bits."""
    outcome = subject.unlearn(adapter=LoRA("lora"))
    wrong = outcome.moved - outcome.free
    if wrong:
        return bad(f"under LoRA {listed(sorted(wrong))} moved, which belongs to the base model")
    if not outcome.moved and outcome.run.effort.steps:
        return bad("under LoRA nothing moves")
    return good(f"under LoRA {len(outcome.moved)} of {len(outcome.free)} free weights move, no other")
