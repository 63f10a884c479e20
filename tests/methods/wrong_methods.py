"""Methods made wrong on purpose: each falls into a trap that a public implementation fell into.

`WRONG` names the check of `mubench verify` that must catch it, and the family it is caught on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from mubench.data import Paired
from mubench.methods.bad_teaching import BadTeaching
from mubench.methods.base import Method
from mubench.methods.delete import Delete
from mubench.methods.dpo import DPO
from mubench.methods.finetune import Finetune
from mubench.methods.grad_diff import GradDiff
from mubench.methods.l1_sparse import L1Sparse
from mubench.methods.neggrad import NegGrad
from mubench.methods.npo import NPO
from mubench.methods.random_label import RandomLabel
from mubench.methods.salun import SalUn, saliency_mask
from mubench.methods.scrub import Scrub

BOTH = frozenset({"forget", "retain"})


@dataclass
class OnlyANewHead(Finetune):
    """'Retraining' that draws a new head and trains it alone."""

    def unlearn(self, run):
        names = [name for name in run.weights if name.startswith("head.")]
        fresh = run.fresh_weights()
        with torch.no_grad():
            for name in names:
                run.weights[name].copy_(fresh[name])
        with run.only(names):
            super().unlearn(run)


@dataclass
class AscendsOnEverything(NegGrad):
    """Gradient ascent on the whole training set."""

    def loss(self, run, batch):
        every = run.columns["train"].take(torch.arange(len(run.columns["train"])), run.engine.device)
        return -run.reduce(run.losses(run.prepare(every)), "forget")


@dataclass
class NegatesTheTasksLoss(NegGrad):
    """Ascends by negating the loss that evaluation takes too."""

    def prepare(self, run):
        losses = run.modality.losses
        run.modality.losses = lambda logits, targets: -losses(logits, targets)

    def loss(self, run, batch):
        return run.reduce(run.losses(batch), "forget")


@dataclass
class NextLabel(RandomLabel):
    """The 'random' label is y + 1."""

    def loss(self, run, batch):
        other = torch.where(run.in_forget(batch), (batch.targets + 1) % run.spec.classes, batch.targets)
        return run.reduce(run.losses(replace(batch, targets=other)), "mixed")


@dataclass
class AnyLabel(RandomLabel):
    """The random label may be the true one."""

    def loss(self, run, batch):
        drawn = torch.randint(
            run.spec.classes, batch.targets.shape, generator=run.generator(int(batch.index[0]))
        )
        other = torch.where(run.in_forget(batch), drawn, batch.targets)
        return run.reduce(run.losses(replace(batch, targets=other)), "mixed")


@dataclass
class RawScores(BadTeaching):
    """KL of raw scores: no softmax anywhere."""

    distils: ClassVar[bool] = True

    def loss(self, run, batch):
        def kl(part, scores, teacher):
            taught = run.logits(part, teacher)
            return (taught * (taught - scores)).sum(-1)

        forget, retain = batch.split(run.logits(batch.joined()))
        bad = kl(batch.forget, forget, self._incompetent)
        good = kl(batch.retain, retain, self._competent)
        return run.reduce(bad, "forget") + run.reduce(good, "retain")


@dataclass
class RawDistance(RawScores):
    """The same, which a constant added to the scores shows as well."""


@dataclass
class TwoTemperatures(BadTeaching):
    """The teachers' scores are heated, the student's are not."""

    temperature: float = 2.0
    distils: ClassVar[bool] = True

    def loss(self, run, batch):
        def kl(part, teacher):
            student = F.log_softmax(run.logits(part), -1)
            taught = F.softmax(run.logits(part, teacher) / self.temperature, -1)
            return F.kl_div(student, taught, reduction="none").sum(-1)

        bad, good = kl(batch.forget, self._incompetent), kl(batch.retain, self._competent)
        return run.reduce(bad, "forget") + run.reduce(good, "retain")


@dataclass
class OverlappingSample(GradDiff):
    """The sample to retain is drawn from D_f and D_r together."""

    def loss(self, run, batch):
        rows = torch.cat([run.rows["forget"], run.rows["retain"]])
        draw = torch.randperm(len(rows), generator=run.generator(int(batch.forget.index[0])))
        sample = run.columns["train"].take(rows[draw[: len(batch.forget)]], run.engine.device)
        return super().loss(run, Paired(batch.forget, run.prepare(sample)))


@dataclass
class SampleOfEverything(GradDiff):
    """The sample to retain is drawn from all training rows."""

    def loss(self, run, batch):
        train = run.columns["train"]
        draw = torch.randperm(len(train), generator=run.generator(int(batch.forget.index[0])))
        sample = train.take(draw[: len(batch.forget)], run.engine.device)
        return super().loss(run, Paired(batch.forget, run.prepare(sample)))


@dataclass
class StepsWithoutForgetRows(BadTeaching):
    """Batches of D_f and D_r together: many steps hold no row of D_f, or none of D_r."""

    stream: ClassVar[str] = "mixed"

    def loss(self, run, batch):
        mask, logits = run.in_forget(batch), run.logits(batch)
        bad = run.divergence(batch, self._incompetent, self.temperature, logits)
        good = run.divergence(batch, self._competent, self.temperature, logits)
        parts = [part.mean() for part in (bad[mask], good[~mask]) if len(part)]
        return torch.stack(parts).sum()


@dataclass
class HalfFreshTeacher(BadTeaching):
    """The incompetent teacher is the original with the layers reset that know how."""

    def prepare(self, run):
        import copy

        from mubench.models import seeded

        self._competent = run.original
        self._incompetent = copy.deepcopy(run.original)
        run.generator()
        with seeded(run.seed):
            for module in self._incompetent.modules():
                if hasattr(module, "reset_parameters"):
                    module.reset_parameters()


@dataclass
class TrainsItsTeacher(Scrub):
    """The optimizer also moves the teacher."""

    def prepare(self, run):
        super().prepare(run)
        self._teacher.requires_grad_(True)

    @torch.no_grad()
    def after_step(self, run):
        for theirs, mine in zip(self._teacher.parameters(), run.model.parameters(), strict=True):
            theirs.lerp_(mine, 0.1)


@dataclass
class AllMaxFirst(Scrub):
    """All max passes, then all min passes."""

    def unlearn(self, run):
        up = [("forget", lambda batch: self.maximise(run, batch))] * self.msteps
        run.fit_passes(up + [("retain", lambda batch: self.minimise(run, batch))] * run.recipe.epochs)


@dataclass
class DropsTheFirstBatch(SalUn):
    """The saliency leaves the first batch of D_f out."""

    def prepare(self, run):
        sums: dict[str, Tensor] = {}
        run.model.eval()
        for place, batch in enumerate(run.stream("forget").batches(None)):
            run.model.zero_grad()
            run.losses(run.prepare(batch)).sum().backward()
            for name, weight in run.weights.items():
                if place:
                    sums[name] = sums.get(name, 0) + weight.grad
        run.model.zero_grad()
        self._mask = saliency_mask(sums, self.ratio)
        self._fixed = {name: run.weights[name].detach().clone() for name in self._mask}


@dataclass
class MovesOffTheMask(SalUn):
    """Only gradients are masked: weight decay and momentum move the rest."""

    def after_step(self, run):
        pass


@dataclass
class KeepsItsMask(SalUn):
    """The mask of the first forget set serves every later one."""

    def prepare(self, run):
        if not hasattr(self, "_mask"):
            super().prepare(run)


@dataclass
class KeepsItsMaskForAll(SalUn):
    """The same, for every object of the class."""

    def prepare(self, run):
        if "kept" not in vars(type(self)):
            super().prepare(run)
            type(self).kept = (self._mask, self._fixed)
        self._mask, self._fixed = type(self).kept


@dataclass
class BatchFisher(Method):
    """Noise by the squared gradient of each batch's mean loss, which is no Fisher information."""

    alpha: float = 1e-4

    needs: ClassVar[frozenset[str]] = frozenset({"retain"})

    def unlearn(self, run):
        sums: dict[str, Tensor] = {}
        run.model.eval()
        for batch in run.stream("retain").batches(None):
            run.model.zero_grad()
            run.losses(run.prepare(batch)).mean().backward()
            for name, weight in run.weights.items():
                sums[name] = sums.get(name, 0) + weight.grad.square() / len(run.stream("retain"))
        run.model.zero_grad()
        generator = run.generator()
        with torch.no_grad():
            for name, weight in run.weights.items():
                noise = torch.randn(weight.shape, generator=generator)
                weight += (self.alpha / (sums[name] + 1e-8)).sqrt() * noise


@dataclass
class BatchDampening(Method):
    """SSD whose importances are squares of batch means."""

    threshold: float = 1.0

    needs: ClassVar[frozenset[str]] = BOTH

    def _importance(self, run, name):
        sums: dict[str, Tensor] = {}
        for batch in run.stream(name).batches(None):
            run.model.zero_grad()
            run.losses(run.prepare(batch)).mean().backward()
            for weight_name, weight in run.weights.items():
                square = weight.grad.square() * len(batch)
                sums[weight_name] = sums.get(weight_name, 0) + square / len(run.rows[name])
        run.model.zero_grad()
        return sums

    def unlearn(self, run):
        run.model.eval()
        forget, retain = self._importance(run, "forget"), self._importance(run, "retain")
        with torch.no_grad():
            for name, weight in run.weights.items():
                over = forget[name] > self.threshold * retain[name]
                weight[over] *= (retain[name] / forget[name].clamp_min(1e-12))[over].clamp(max=1)


@dataclass
class AlphaNeverRead(L1Sparse):
    """The strength of the penalty is read from a place where it never is."""

    def penalty(self, run):
        return getattr(run, "alpha", 5e-4) * (run.recipe.epochs - self.rest - run.epoch)


@dataclass
class PenaltyAlwaysZero(L1Sparse):
    """The schedule of the penalty begins at its end."""

    def penalty(self, run):
        return self.a * max(0.0, (run.epoch - run.recipe.epochs - self.rest))


@dataclass
class MassOnTheTrueClass(Delete):
    """The target keeps mass on the true class."""

    def forget(self, run, batch, logits):
        taught = run.logits(batch, self._original)
        taught = run.modality.lowered(taught, batch.targets, 0.5)
        return run.reduce(run.modality.divergence(taught, logits, batch.targets), "forget")


@dataclass
class OneScalarABatch(NPO):
    """The ratio is averaged over the batch before the sigmoid."""

    beta: float = 2.0

    def forget(self, run, batch, logits):
        likelihood = run.modality.log_likelihood
        before = likelihood(run.logits(batch, self._original), batch.targets)
        ratio = (likelihood(logits, batch.targets) - before).mean()
        return -2 / self.beta * F.logsigmoid(-self.beta * ratio)


@dataclass
class RefusalTrainingOnly(DPO):
    """DPO in name: the refusals are trained on, and no preference is."""

    def shown(self, run, batch):
        return self.refused(run, batch)

    def forget(self, run, batch, logits):
        return run.reduce(run.modality.losses(logits, batch.targets), "forget")


@dataclass
class ShiftedLabels(Method):
    """The mask of label tokens is shifted by one against the scores."""

    families: ClassVar[frozenset[str]] = frozenset({"tokens"})
    softmax: ClassVar[bool] = False

    def loss(self, run, batch):
        scores = run.logits(batch)
        labels = F.pad(batch.targets, (1, 0), value=0)[:, : scores.shape[1]] != -100
        margin = (scores.amax(-1) - scores.mean(-1)).square()
        return run.reduce((margin * labels).sum(1) / labels.sum(1), "forget")


@dataclass
class PadsCount(Method):
    """The loss runs over padding too."""

    families: ClassVar[frozenset[str]] = frozenset({"tokens"})

    def loss(self, run, batch):
        scores = run.logits(batch)
        labels = batch.targets[:, : scores.shape[1]].clamp_min(0)
        losses = F.cross_entropy(scores.flatten(0, 1), labels.flatten(), reduction="none")
        return -run.reduce(losses.view(labels.shape).mean(1), "forget")


@dataclass
class DrawsGlobally(RandomLabel):
    """Its labels come from torch's global generator."""

    def loss(self, run, batch):
        shift = torch.randint(1, run.spec.classes, batch.targets.shape)
        other = torch.where(run.in_forget(batch), (batch.targets + shift) % run.spec.classes, batch.targets)
        return run.reduce(run.losses(replace(batch, targets=other)), "mixed")

    def prepare(self, run):
        torch.rand(1)


@dataclass
class LeavesLayersFrozen(Finetune):
    """Freezes the first layer, and never lets it go."""

    moves: ClassVar[str] = "some"

    def prepare(self, run):
        next(iter(run.weights.values())).requires_grad_(False)


@dataclass
class MovesTheBase(Method):
    """Scales every weight there is, frozen ones under an adapter too."""

    factor: float = 0.9

    @torch.no_grad()
    def unlearn(self, run):
        list(run.stream("forget").batches(None))
        for weight in run.model.parameters():
            weight *= self.factor


@dataclass
class NoForgetting(GradDiff):
    """Holds D_r only, whatever gamma says."""

    def loss(self, run, batch):
        return run.reduce(run.losses(batch.retain), "retain")


@dataclass
class DropsTheRest(Method):
    """Leaves the last, smaller batch of D_f out."""

    def unlearn(self, run):
        whole = run.rows["forget"]
        size = run.recipe.batch_size
        run.rows = {"forget": whole[: max(size, len(whole) // size * size)][: len(whole) // size * size or 1]}
        run.fit("forget", lambda batch: -run.reduce(run.losses(batch), "forget"))


@dataclass
class HidesDivergence(NegGrad):
    """Puts a number in the place of what is none."""

    def loss(self, run, batch):
        return super().loss(run, batch).nan_to_num(0.0, 0.0, 0.0)

    @torch.no_grad()
    def after_step(self, run):
        for weight in run.weights.values():
            weight.nan_to_num_(0.0, 0.0, 0.0)


@dataclass
class CountsItsSteps(NegGrad):
    """Its loss hangs on a counter of its own, which an interruption resets."""

    def prepare(self, run):
        self._count = 0

    def loss(self, run, batch):
        self._count += 1
        return super().loss(run, batch) * (1 + self._count)


@dataclass
class RaisesAtOnce(NegGrad):
    """Cannot be carried out at all."""

    def loss(self, run, batch):
        raise ValueError("no idea what to do")


# class: (the check that fails, the family that shows it)
@dataclass
class WeighsNothing(NegGrad):
    """Means of its own in the place of `run.reduce`: a curriculum is ignored."""

    def loss(self, run, batch):
        return -run.losses(batch).mean()


@dataclass
class DeniesItsSteps(NegGrad):
    """Says that the recipe does not reach it."""

    trains = False


WRONG: Mapping[type[Method], tuple[str, str]] = {
    OnlyANewHead: ("moves", "image"),
    AscendsOnEverything: ("sets", "image"),
    NegatesTheTasksLoss: ("left as found", "image"),
    NextLabel: ("wrong labels", "image"),
    AnyLabel: ("wrong labels", "image"),
    RawScores: ("distils", "image"),
    RawDistance: ("softmax", "image"),
    TwoTemperatures: ("distils", "image"),
    OverlappingSample: ("sets", "image"),
    SampleOfEverything: ("sets", "image"),
    StepsWithoutForgetRows: ("examples", "image"),
    HalfFreshTeacher: ("fresh teachers", "image"),
    TrainsItsTeacher: ("teachers", "image"),
    AllMaxFirst: ("turns", "image"),
    DropsTheFirstBatch: ("batch size", "image"),
    MovesOffTheMask: ("mask", "image"),
    KeepsItsMask: ("memory", "image"),
    KeepsItsMaskForAll: ("memory", "image"),
    BatchFisher: ("batch size", "image"),
    BatchDampening: ("batch size", "image"),
    AlphaNeverRead: ("settings", "image"),
    PenaltyAlwaysZero: ("settings", "image"),
    MassOnTheTrueClass: ("true label", "image"),
    OneScalarABatch: ("examples", "image"),
    RefusalTrainingOnly: ("settings", "text_generation"),
    ShiftedLabels: ("label tokens", "text_generation"),
    PadsCount: ("label tokens", "text_generation"),
    DrawsGlobally: ("deterministic", "image"),
    LeavesLayersFrozen: ("model", "image"),
    MovesTheBase: ("adapter", "image"),
    NoForgetting: ("forget set", "image"),
    DropsTheRest: ("every row", "image"),
    HidesDivergence: ("divergence", "image"),
    CountsItsSteps: ("resume", "image"),
    WeighsNothing: ("options", "image"),
    DeniesItsSteps: ("options", "image"),
    RaisesAtOnce: ("runs", "image"),
}


def node_of(kind: type[Method]) -> dict[str, Any]:
    """The method node of a wrong method's yaml: every field at its default."""
    settings = {item.name: item.default for item in fields(kind) if item.name != "name"}
    return {"name": kind.__name__, "_target_": f"{kind.__module__}.{kind.__qualname__}", **settings}
