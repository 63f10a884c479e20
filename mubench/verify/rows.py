"""Whether a method uses every row, labels wrongly what it should, and does not hang on the batches."""

from __future__ import annotations

import torch
from torch import Tensor

from mubench.verify.finding import Finding, bad, good, idle, listed
from mubench.verify.subject import State, Subject, prepared
from mubench.verify.watched import rows_of

OTHER_BATCH = 5
ENOUGH = 60  # wrong labels looked at before none of them is found to be right
SEEDS = range(11, 17)


def every_row(subject: Subject) -> Finding:
    """Every row of D_f, else of D_r, is used, also of a D_f smaller than one batch."""
    part = "forget" if "forget" in subject.facts.reads else "retain"
    if part not in subject.facts.reads or subject.facts.starts_from != "original":
        return idle("it reads neither set")
    for outcome in (subject.base, subject.elsewhere):
        wanted = rows_of([outcome.rows[part]])
        taken: list[Tensor] = getattr(outcome.run.columns["train"], "taken")  # noqa: B009
        missing = wanted - rows_of(taken)
        if missing:
            return bad(f"of {len(wanted)} rows of the {part} set row {listed(sorted(missing))} is never used")
    sizes = [len(outcome.rows[part]) for outcome in (subject.base, subject.elsewhere)]
    return good(f"every row of {part} sets of {sizes[0]} and {sizes[1]} is used, in batches of 4")


def batch_size(subject: Subject) -> Finding:
    """What stands before the first step does not hang on the size of the batches."""
    base = subject.base
    stepless = not base.run.effort.steps and base.moved
    if base.prepared_steps or not (base.left or stepless):
        return idle("nothing is computed before the first step")
    method = subject.build()
    run = subject.problem.run(method, batch_size=OTHER_BATCH)
    if stepless:
        other = subject.unlearn(method, batch_size=OTHER_BATCH)
        ends = [{n: w for n, w in end.items() if n in subject.live} for end in (base.end, other.end)]
        found = _differs(ends[0], ends[1]) or _differs(base.left, other.left)
    else:
        found = _differs(base.left, prepared(method, run).left)
    if found and subject.facts.estimates:
        return idle("it goes batch by batch, as it says")
    if found:
        return bad(f"{found} is another in batches of {OTHER_BATCH} than in batches of 4")
    return good(f"batches of {OTHER_BATCH} give what batches of 4 give")


def _differs(first: State, second: State) -> str | None:
    """The name of a tensor that is another, beyond rounding and the ties that it decides."""
    if set(first) != set(second):
        return listed(sorted(set(first) ^ set(second)), 1)
    for name, value in first.items():
        other = second[name]
        if value.shape != other.shape:
            return name
        equal = value == other
        if value.is_floating_point():
            equal = torch.isclose(value.double(), other.double(), rtol=1e-3, atol=_rounding(value))
        if int((~equal).sum()) > max(2, value.numel() // 50):
            return name
    return None


def _rounding(value: Tensor) -> float:
    return 1e-4 * float(value.double().abs().max()) if value.numel() else 0.0


def wrong_labels(subject: Subject) -> Finding:
    """Where D_f is relabelled, no row keeps its label, and the wrong ones follow no fixed rule."""
    assert subject.base
    problem, truth = subject.problem, subject.problem.train.targets
    seeds = iter(SEEDS)
    while True:
        shifts, kept = _relabelled(subject, truth)
        if kept is not None:
            return bad(f"row {kept} of D_f keeps its true label among rows that are relabelled")
        if not shifts or len(shifts) >= ENOUGH or (number := next(seeds, None)) is None:
            break
        subject.unlearn(seed=number)
    if not shifts:
        return idle("no loss sees other labels than the true ones")
    classes = truth.dim() == 1 and problem.spec.classes > 2
    rule = {(wrong - right) % max(1, problem.spec.classes) for wrong, right in shifts}
    if classes and len({right for _, right in shifts}) > 2 and len(rule) == 1:
        return bad(f"every wrong label is the true one + {rule.pop()}: that is not random")
    return good(f"none of {len(shifts)} new labels is the true one")


def _relabelled(subject: Subject, truth: Tensor) -> tuple[list[tuple[int, int]], int | None]:
    """(new, true) of relabelled rows of D_f, and a row that kept its label beside them."""
    shifts: list[tuple[int, int]] = []
    for rows, targets, run in subject.labels:
        inside = torch.isin(rows, run.rows.get("forget", rows[:0]))
        rows, targets = rows[inside], targets[inside]
        if targets.shape[1:] != truth.shape[1:]:
            continue
        equal = (targets == truth[rows]).flatten(1).all(1) if truth.dim() > 1 else targets == truth[rows]
        changed = set(rows[~equal].tolist())
        kept = set(rows[equal].tolist()) - changed
        if changed and kept:
            return [], min(kept)
        if truth.dim() == 1:
            shifts += zip(targets[~equal].tolist(), truth[rows[~equal]].tolist(), strict=True)
        else:
            shifts += [(0, 0)] * int((~equal).sum())
    return shifts, None


def turns(subject: Subject) -> Finding:
    """No two passes over D_f in a row while passes over D_r are left."""
    if not subject.facts.alternates:
        return idle("it does not say that it alternates")
    names = [stream for stream, *_ in subject.base.run.notes.passes]
    for place in range(len(names) - 1):
        if names[place] == names[place + 1] == "forget" and "retain" in names[place + 2 :]:
            return bad(
                f"passes {place + 1} and {place + 2} both go over D_f, D_r's come later: {listed(names, 8)}"
            )
    if not {"forget", "retain"} <= set(names):
        return bad(f"it says that it alternates, but passes go over {listed(sorted(set(names)))}")
    return good(f"passes: {listed(names, 8)}")
