"""Whether a method gives the same again, whatever came before, and only from what it declares."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from mubench.errors import Diverged
from mubench.verify.finding import Finding, bad, good, idle, listed
from mubench.verify.subject import OTHER_SEED, Subject, class_content, same
from mubench.verify.watched import Watched, rows_of


def deterministic(subject: Subject) -> Finding:
    """The same seed gives the same bits; no global generator is read or moved."""
    touched = subject.base.global_draws
    if touched:
        return bad(f"it draws from the global generator of {listed(touched)} (run.generator() is its own)")
    if same(subject.base.end, subject.again.end) or same(subject.base.end, subject.unlearn().end):
        return good("the same seed gives the same bits, and no global generator was touched")
    return bad("the same seed gives other weights the second time")


def memory(subject: Subject) -> Finding:
    """An object that has unlearned elsewhere gives what a new one gives."""
    kept = _on_the_class(subject)
    if kept:
        return bad(f"it keeps {listed(kept)} on its class, where the next run finds it")
    if same(subject.base.end, subject.again.end):
        return good("the same object on another run gives what a new one gives")
    used = subject.build()
    subject.unlearn(used, forget=subject.problem.forget[-3:], retain=subject.problem.retain[:-4])
    if same(subject.unlearn().end, subject.unlearn(used).end):
        return good("the same object on another run gives what a new one gives")
    return bad("an object that has unlearned another forget set gives other weights than a new one")


def _on_the_class(subject: Subject) -> list[str]:
    """Attributes of the class that came or grew in the course of the runs."""
    content = class_content(type(subject.base.method))
    return sorted(name for name in content if content[name] != subject.on_class.get(name))


def seed(subject: Subject) -> Finding:
    """Another seed gives other weights, if anything hangs on the seed."""
    if not subject.base.run.notes.drew:
        return idle("it draws nothing")
    other = subject.unlearn(seed=OTHER_SEED)
    if same(subject.base.end, other.end) and subject.facts.moves != "none":
        return bad("another seed gives the same weights, though it draws or trains")
    return good("another seed gives other weights")


def sets(subject: Subject) -> Finding:
    """Only rows of the sets that it declares are taken; what the others hold has no effect."""
    run = subject.base.run
    declared = rows_of([rows for name, rows in subject.base.rows.items() if name != "validation"])
    strange = sorted(rows_of(_taken(run, "train")) - declared)
    if strange:
        return bad(f"it takes training rows of no set that it declares, such as row {listed(strange, 1)}")
    if _taken(run, "test"):
        return bad("it takes rows of the test set")
    if _mixes(run):
        return bad("a sample of its own holds rows of D_f among those of D_r")
    if not same(subject.base.end, subject.again.end) and not same(
        subject.base.end, subject.unlearn(spoilt=True).end
    ):
        return bad("other examples in rows of no declared set change the result")
    return good(f"it reads {listed(sorted(run.rows)) or 'nothing'}, as it declares")


def _taken(run: Watched, split: str) -> list[torch.Tensor]:
    return getattr(run.columns[split], "taken", [])


def _mixes(run: Watched) -> bool:
    """Whether one batch held rows of both sets, though the stream of both was not asked for."""
    inner = len(getattr(run.columns["train"], "readers", ())) > 1  # runs within it, with sets of their own
    if inner or not {"forget", "retain"} <= run.rows.keys() or "mixed" in run.notes.streams:
        return False
    forget, retain = rows_of([run.rows["forget"]]), rows_of([run.rows["retain"]])
    return any(rows_of([rows]) & forget and rows_of([rows]) & retain for rows in _taken(run, "train"))


def left_as_found(subject: Subject) -> Finding:
    """Rows, columns and the losses that evaluation will take are what they were."""
    run, problem = subject.base.run, subject.problem
    for name, rows in run.rows.items():
        before = {"forget": problem.forget, "retain": problem.retain}.get(name)
        if before is not None and not torch.equal(rows, before):
            return bad(f"it changes the rows of the {name} set")
    columns = run.columns["train"]
    if not torch.equal(columns.targets, problem.train.targets) or not all(
        torch.equal(columns.inputs[name], problem.train.inputs[name]) for name in problem.train.inputs
    ):
        return bad("it changes the training data")
    batch = problem.modality.prepare(
        problem.train.take(problem.retain[:4], run.engine.device), run.spec.input, None
    )
    with torch.no_grad():
        scores = problem.modality.logits(problem.original, batch)
        expected, found = (m.losses(scores, batch.targets) for m in (problem.modality, run.modality))
    if not torch.equal(expected, found) or bool((expected < 0).any()):
        return bad("afterwards the task's loss, by which models are evaluated, is another")
    return good("the sets, the data and the task's loss are as they were")


def effect(part: str) -> Callable[[Subject], Finding]:
    """The check that other examples in a set change the result."""

    def check(subject: Subject) -> Finding:
        if part not in subject.facts.reads:
            return idle(f"it does not read the {part} set")
        if subject.facts.starts_from != "original":
            return idle("it starts from the retrained model")
        if same(subject.base.end, subject.other(part).end):
            return bad(f"other examples in the {part} set give the same weights: that side has no effect")
        return good(f"other examples in the {part} set give other weights")

    return check


def finite(subject: Subject) -> Finding:
    """Every weight is a finite number."""
    wrong = [name for name, w in subject.base.end.items() if w.is_floating_point() and not w.isfinite().all()]
    return bad(f"{listed(wrong)} holds NaN or infinity") if wrong else good("every weight is finite")


def divergence(subject: Subject) -> Finding:
    """A hopeless learning rate ends in Diverged, which names the step."""
    if not subject.base.run.effort.steps:
        return idle("it takes no optimizer steps")
    try:
        subject.unlearn(lr=1e3, weight_decay=1e3, clip=None, epochs=10)
    except Diverged as error:
        named = re.search(r"(batch|step) \d+|last step", str(error))
        return good(f"told: {error}") if named else bad(f"the message names no step: {error}")
    except Exception as error:
        return bad(f"a hopeless learning rate ends in {type(error).__name__}: {error}")
    return bad("a learning rate of 1000 with as much weight decay goes unnoticed")


def resume(subject: Subject) -> Finding:
    """Interrupted half-way and begun again, it ends in the same bits."""
    steps = subject.base.run.effort.steps
    if steps < 2:
        return idle("it takes no optimizer steps")
    with tempfile.TemporaryDirectory() as folder:
        method = subject.build()
        run = subject.problem.run(method, checkpoints=Path(folder))
        run.hooks = replace(run.hooks, after_step=stopping(run.hooks.after_step, steps // 2 + 1))
        try:
            method.prepare(run)
            method.unlearn(run)
        except KeyboardInterrupt:
            resumed = subject.unlearn(checkpoints=Path(folder))
        else:
            return bad("its training cannot be interrupted by a hook")
    if same(subject.base.end, resumed.end):
        return good(f"interrupted after step {steps // 2 + 1} of {steps}, it ends in the same bits")
    return bad(f"interrupted after step {steps // 2 + 1} of {steps}, it ends in other weights")


def stopping(hook: Callable[[], None], after: int) -> Callable[[], None]:
    """The method's own hook, interrupted after some steps."""
    steps = 0

    def after_step() -> None:
        nonlocal steps
        hook()
        steps += 1
        if steps == after:
            raise KeyboardInterrupt

    return after_step
