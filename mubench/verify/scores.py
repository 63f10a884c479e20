"""What a method's losses make of the scores: teachers, constants, halves of a batch, tokens, true labels."""

from __future__ import annotations

import torch
from torch import Tensor

from mubench.data import Batch, Paired
from mubench.verify.finding import Finding, bad, good, idle
from mubench.verify.lab import Change, Lab, Term, cut, unchanged
from mubench.verify.subject import Subject

SMALL = 1e-3  # between a teacher's scores and the student's: squares are seen, cubes are not
IGNORED = -100  # a target that pads


def distils(subject: Subject) -> Finding:
    """Terms with a teacher are 0, with their gradient, where it agrees with the student; never of two signs.

    For small differences d of the teacher's scores from the student's, the loss changes as d^2: what is
    of first order in d neither vanishes nor keeps its sign.
    """
    if not subject.facts.distils:
        return idle("no teacher that the model is to agree with")
    lab, asked = Lab.of(subject), False
    for term in lab.terms:
        if not any(teacher for _, _, teacher in lab.calls(term)):
            continue
        asked = True
        signs = set()
        for number in range(4):
            odd, even = _orders(lab, term, number)
            if odd > 0.1 * abs(even):
                return bad(f"on {term.stream} batches a teacher that agrees leaves a gradient: no divergence")
            signs.add(even > 0)
        if len(signs) > 1:
            return bad(f"on {term.stream} batches the divergence from a teacher takes both signs")
    if not asked:
        return bad("it says that it distils, but no loss asks a teacher for scores")
    return good("terms with a teacher vanish with their gradient where it agrees, and keep their sign")


def _orders(lab: Lab, term: Term, number: int) -> tuple[float, float]:
    """The odd and the even part of the change when the teacher leaves the student by a random step."""

    def value(size: float) -> float:
        draw = torch.Generator().manual_seed(number)
        student: list[Tensor] = []

        def change(scores: Tensor, batch: Batch, teacher: bool) -> Tensor:
            if not teacher:
                student.append(scores)
                return scores
            mine = lab.plain(lab.outcome.run.model, batch).double().detach()
            return mine + size * torch.randn(mine.shape, generator=draw, dtype=mine.dtype)

        return float(lab.value(term, change).detach())

    still, there, back = value(0), value(SMALL), value(-SMALL)
    return abs(there - back) / 2, (there + back) / 2 - still


def softmax(subject: Subject) -> Finding:
    """A constant added to all scores of an example, the student's or a teacher's, changes no loss."""
    modality = subject.problem.modality
    if not subject.facts.softmax or not modality.gives & {"classes", "tokens"}:
        return idle("scores are not read through a softmax")
    lab, asked = Lab.of(subject), False
    for term in lab.terms:
        value = float(lab.value(term).detach())
        called = {teacher for _, _, teacher in lab.calls(term)}
        asked = asked or bool(called)
        for who in called:
            other = float(lab.value(term, _shifted(who)).detach())
            if abs(other - value) > 1e-6 * max(1, abs(value)):
                whose = "a teacher's" if who else "the model's"
                return bad(f"on {term.stream} batches a constant added to {whose} scores changes the loss")
    return good("a constant added to scores changes no loss") if asked else idle("no loss reads scores")


def _shifted(who: bool) -> Change:
    """Another constant added to the scores at each place, of teachers or of the model."""

    def change(scores: Tensor, _batch: Batch, teacher: bool) -> Tensor:
        if teacher is not who:
            return scores
        steps = torch.arange(scores[..., 0].numel(), dtype=scores.dtype)
        return scores + 1 + steps.view(*scores.shape[:-1], 1) % 3

    return change


def additive(subject: Subject) -> Finding:
    """The loss of a batch is the mean of its parts' losses: every example counts by itself."""
    if not subject.facts.additive:
        return idle("its loss is not a mean over examples, as it says")
    lab = Lab.of(subject)
    for term in lab.terms:
        count = len(term.batch.forget) if isinstance(term.batch, Paired) else len(term.batch)
        whole, once_more = (float(lab.value(term).detach()) for _ in range(2))
        if abs(whole - once_more) > 1e-9 * max(1, abs(whole)):
            return bad(f"the loss of the same {term.stream} batch changes from one call to the next")
        for parts in (
            (range(count // 2), range(count // 2, count)),
            (range(0, count, 2), range(1, count, 2)),
        ):
            if not all(parts):
                continue
            losses = [float(lab.value(term, batch=cut(term.batch, list(p))).detach()) for p in parts]
            mean = sum(len(p) * loss for p, loss in zip(parts, losses, strict=True)) / count
            if not abs(whole - mean) <= 1e-4 * max(abs(whole), *map(abs, losses), 1e-2):
                return bad(
                    f"the loss of {count} {term.stream} examples is {whole:.6g}, the mean of its parts "
                    f"{mean:.6g}: examples do not count by themselves"
                )
    return (
        good("the loss of a batch is the mean of its parts'")
        if lab.terms
        else idle("it trains under no loss")
    )


def label_tokens(subject: Subject) -> Finding:
    """Every label token counts, and nothing that pads."""
    if "tokens" not in subject.problem.modality.gives:
        return idle("the targets are no tokens")
    lab, asked = Lab.of(subject), False
    for term in lab.terms:
        value = float(lab.value(term).detach())
        if abs(float(lab.value(term, _padding_disturbed).detach()) - value) > 1e-9 * max(1, abs(value)):
            return bad(f"on {term.stream} batches the loss hangs on scores at places that pad")
        for gradient, batch in lab.gradients(term):
            labels = batch.targets[:, : gradient.shape[1]] != IGNORED
            felt = gradient.abs().sum(-1) > 0
            if not felt.any():
                continue
            asked = True
            if (felt & ~labels).any():
                return bad(f"on {term.stream} batches the loss hangs on scores at places that pad")
            if (labels & ~felt & felt.any(1, keepdim=True)).any():
                return bad(f"on {term.stream} batches some label tokens have no part in the loss")
    return good("every label token counts, and nothing else") if asked else idle("no loss reads scores")


def _padding_disturbed(scores: Tensor, batch: Batch, _teacher: bool) -> Tensor:
    pads = batch.targets[:, : scores.shape[1]] == IGNORED
    noise = torch.randn(scores.shape, generator=torch.Generator().manual_seed(0), dtype=scores.dtype)
    return scores + noise * pads[..., None]


def true_label(subject: Subject) -> Finding:
    """No gradient pulls up the score of a true label of D_f, however low it is."""
    if not subject.facts.lowers or not subject.problem.modality.gives & {"classes", "tokens"}:
        return idle("it does not say that it never pulls a true label up")
    lab = Lab.of(subject)
    truth = subject.problem.train.targets
    forget = lab.outcome.run.rows["forget"]

    def lowered(scores: Tensor, batch: Batch, teacher: bool) -> Tensor:
        return scores if teacher else scores - 4 * _at(scores, truth[batch.index])

    asked = False
    for term in lab.terms:
        for change in (unchanged, lowered):
            for gradient, batch in lab.gradients(term, change):
                mine = _at(gradient, truth[batch.index])
                mine[~(torch.isin(batch.index, forget) & _same_targets(batch, truth))] = 0
                asked = asked or bool((mine * gradient).any())
                if bool((mine * gradient < -1e-9).any()):
                    return bad(f"on {term.stream} batches the true label of a row of D_f is pulled up")
    return good("no true label of D_f is ever pulled up") if asked else idle("no loss reads scores of D_f")


def _at(scores: Tensor, targets: Tensor) -> Tensor:
    """1 at the targets' places of scores (B, C) or (B, T, C), else 0."""
    labels = targets[:, : scores.shape[1]] if scores.dim() == 3 else targets
    places = torch.zeros_like(scores)
    if scores.dim() == 3 and labels.shape[1] < scores.shape[1]:
        return places
    known = (labels != IGNORED).to(scores.dtype)
    return places.scatter_(-1, labels.clamp_min(0)[..., None], known[..., None])


def _same_targets(batch: Batch, truth: Tensor) -> Tensor:
    """Rows (B,) shown with their true answer; where targets are classes the model is not shown any."""
    if truth.dim() == 1:
        return torch.ones(len(batch), dtype=torch.bool)
    width = min(batch.targets.shape[1], truth.shape[1])
    return (batch.targets[:, :width] == truth[batch.index][:, :width]).all(1)
