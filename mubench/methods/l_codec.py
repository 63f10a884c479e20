"""L-CODEC: a Newton step on the few units that D_f's loss depends on (Mehta et al., CVPR 2022)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from mubench.data import Batch
from mubench.errors import UsageError
from mubench.methods import units
from mubench.methods.base import Method
from mubench.methods.codec import foci
from mubench.methods.one_shot import length, put
from mubench.methods.units import Layer
from mubench.methods.woodfisher import inverse_product
from mubench.run import Run
from mubench.schema import within

# Of a weight: the dimension that counts units, and the chosen ones (k,).
Block = dict[str, tuple[int, Tensor]]


@dataclass
class LCodec(Method):
    """Batch by batch of D_f: w_P += H_r^-1 sum_f grad_P CE / (n - m), P the weights of the chosen units.

    Choosing (L-FOCI): the batch goes through the model under noise on its inputs, again and again; of
    every linear layer's outputs and every filter the mean activation is kept. Units are chosen one by one
    as long as the loss depends on the next one given those before (`codec.py`).

    The step: H_r = (n H - sum_f H_f) / (n - m) is the mean Hessian over D_r. Each example's is taken as
    the outer product of its gradient, one of the paper's options, over a sample of D_r and all chosen
    weights together, plus damping; the paper's own code keeps a product of two gradients of the training.
    Left out is the noise that the paper adds for its certificate, which supposes a convex loss.

    A step that is too long for its quadratic model is cut to `limit`; the paper's code takes a batch back
    after which validation is five points worse. A batch moves few weights, often one unit's, so that this
    is a gentle method: it forgets less than those that move all.
    """

    perturbations: int = 100  # forwards of a batch under noise: more tell dependence better
    sigma: float = 0.5  # of the noise, in deviations of an example's own inputs
    units: int = 16  # the most that a batch may move
    damping: float = 1e-4  # added to the Hessian's diagonal, in units of its trace: more takes a shorter step
    limit: float = 0.5  # longest step of a batch, as a share of the length of the weights that it moves
    samples: int = 256  # examples of D_r that the Hessian is made of

    needs: ClassVar[frozenset[str]] = frozenset({"forget", "retain"})
    whole: ClassVar[bool] = True
    source: ClassVar[tuple[str, ...]] = ("mehta2022",)
    formula: ClassVar[str] = (
        "w_P = w0_P + d, d = H_r^-1 (sum over D_f of grad_P CE) / (n - m), cut to |d| <= limit |w0_P|, "
        "H_r = (n H - sum over D_f of H_f) / (n - m) + damping tr I, tr the trace of what comes before, "
        "P chosen by conditional dependence of the loss on activations"
    )
    memory: ClassVar[str] = (
        "every perturbation's mean activations, "
        "and twice 256 MiB of gradients of the layers with chosen units"
    )
    trains: ClassVar[bool] = False
    moves: ClassVar[Literal["all", "some", "none"]] = "some"
    choices: ClassVar[dict[str, tuple[Any, ...]]] = {"samples": (4, 512)}
    trial: ClassVar[dict[str, Any]] = {"perturbations": 10}
    estimates: ClassVar[bool] = True

    def __post_init__(self) -> None:
        within("method.perturbations", self.perturbations, 3, 1e6)
        within("method.sigma", self.sigma, 0, 1e3, "(]")
        within("method.units", self.units, 1, 1e6)
        within("method.damping", self.damping, 0, 1e6, "(]")
        within("method.limit", self.limit, 0, 1e6, "(]")
        within("method.samples", self.samples, 1, 1e6)

    def unlearn(self, run: Run) -> None:
        """One choice and one step for each batch of D_f."""
        run.model.eval()
        layers = units.layers(run.model, run.weights)
        if not layers:
            raise UsageError("method l_codec needs a linear layer or a convolution whose weights may move")
        stream, generator = run.stream("forget"), run.generator()
        sample = run.sample("retain", self.samples, 1)
        with run.reporter.stage("Newton steps", len(stream)) as stage:
            for batch in stream.batches(None):
                prepared = run.prepare(batch)
                block = self.block(run, layers, prepared, generator)
                # The loss may depend on no unit: then there is nothing to move.
                for name, values in self.step(run, block, prepared, sample) if block else ():
                    put(run, name, values)
                stage.advance(1, len(batch))

    def block(self, run: Run, layers: list[Layer], batch: Batch, generator: torch.Generator) -> Block:
        """The chosen units of a batch's loss."""
        with torch.no_grad():
            signal = run.modality.signal(run.model, batch)
        losses: list[Tensor] = []

        def forward() -> None:
            noise = torch.randn(signal.values.shape, generator=generator).to(signal.deviation)
            values = signal.values + self.sigma * signal.deviation * noise
            with run.engine.autocast():
                scores = run.modality.logits_at(run.model, batch, values)
            losses.append(run.modality.losses(scores, batch.targets).mean())

        run.tally.scores(batch, self.perturbations)
        seen = [units.mean_activations(layers, forward) for _ in range(self.perturbations)]
        return _block(layers, foci(torch.stack(losses), torch.stack(seen), self.units))

    def step(self, run: Run, block: Block, batch: Batch, sample: Any) -> Iterator[tuple[str, Tensor]]:
        """The weights of the block's layers after the step, by name."""
        total = len(run.rows["retain"])
        with run.only(block):
            weights = run.weights
            run.tally.gradient(batch)
            with run.engine.autocast():
                loss = run.losses(batch).sum() / total
            gradients = torch.autograd.grad(loss, list(weights.values()))
            direction = _picked(dict(zip(weights, gradients, strict=True)), block, 0)
            found = inverse_product(
                lambda: (_picked(part, block, 1) for part in run.per_example(sample)), direction, self.damping
            )
            far, most = length(found), self.limit * length(_picked(weights, block, 0))
            share = min(1.0, most / far) if far else 0.0
            for name, (across, chosen) in block.items():
                yield name, weights[name].detach().index_add(across, chosen, found[name], alpha=share)


def _block(layers: list[Layer], chosen: list[int]) -> Block:
    """The weights of units by their places among all layers' units."""
    block, first = {}, 0
    for layer in layers:
        own = [place - first for place in sorted(chosen) if first <= place < first + layer.units]
        for name, across in layer.names.items() if own else ():
            block[name] = across, torch.tensor(own, device=layer.weight.device)
        first += layer.units
    return block


def _picked(weights: Mapping[str, Tensor], block: Block, outer: int) -> dict[str, Tensor]:
    """Of every weight, or of gradients with `outer` dimensions before its own, the chosen units' part."""
    return {
        name: weights[name].index_select(across + outer, chosen) for name, (across, chosen) in block.items()
    }
