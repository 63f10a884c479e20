"""Shadow models: many trained at once are what each would be by itself; kept, resumed, shared by methods."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mubench import artifacts, catalog
from mubench.checking import models_for
from mubench.data import Batch, Columns
from mubench.engine import Engine
from mubench.modalities.classification import Classification
from mubench.models import reference_seed, shadow_seed, teacher_seed
from mubench.networks.resnet import SmallResNet
from mubench.plan import Planner
from mubench.progress import Reporter
from mubench.schema import Recipe, Trainer
from mubench.shadows import abreast
from mubench.shadows.stack import Stack
from mubench.shadows.trial import choose
from mubench.workbench import Workbench, lay_out

DIRS = catalog.config_dirs()
QUIET = Reporter(quiet=True)
ADAMW = {"name": "adamw", "_target_": "torch.optim.AdamW"}
SGD = {"name": "sgd", "_target_": "torch.optim.SGD", "momentum": 0.9}
SOPHIA = {"name": "sophia", "_target_": "mubench.optimizers.sophia.Sophia", "k": 2}
SEEDS = [5, 9, 6]


@dataclass
class Plain(Classification):
    """Columns as they are, shaken by noise that the generator draws where it is told so."""

    def encode(self, rows: Any, folder: Path) -> dict[str, Tensor]:
        raise NotImplementedError

    def facts(self, train: Any, folder: Path) -> dict[str, Any]:
        raise NotImplementedError

    def expects(self, model: Any, facts: Any) -> Any:
        raise NotImplementedError

    def shape(self, expected: Any) -> dict[str, int]:
        raise NotImplementedError

    def prepare(self, batch: Batch, expected: Any, generator: torch.Generator | None) -> Batch:
        (name, x), *_ = batch.inputs.items()
        if self.draws and generator is not None:
            x = x + 0.1 * torch.randn(x.shape, generator=generator, dtype=x.dtype)
        return replace(batch, inputs={name: x})


class Mlp(nn.Module):
    """Two layers, and a weight without dimensions."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
        self.scale = nn.Parameter(torch.tensor(1.5))
        self.held = nn.Parameter(torch.randn(3), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * self.layers(x) + self.held


class Transformer(nn.Module):
    """One layer of attention, without dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.block = nn.TransformerEncoderLayer(6, 2, 8, dropout=0.0, batch_first=True)
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.block(x).mean(1))


NETWORKS = {
    "mlp": (Mlp, "x", (6,)),
    "resnet": (lambda: SmallResNet(3, 1, 4, widths=(8, 16)), "pixel_values", (1, 4, 4)),
    "transformer": (Transformer, "x", (5, 6)),
}


@pytest.fixture
def exact() -> Iterator[None]:
    """Networks and draws in float64."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def bench_of(name: str, minutes: float = 10, augment: str = "noise", **recipe: Any) -> Any:
    """What a training reads of a workbench: 22 rows, so that no batch and no group of batches fills up."""
    make, column, shape = NETWORKS[name]
    draw = torch.Generator().manual_seed(1)
    x = torch.randn(22, *shape, generator=draw, dtype=torch.float64)
    columns = Columns({column: x}, torch.randint(0, 3, (22,), generator=draw), torch.arange(22).numpy())

    def start(seed: int) -> nn.Module:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return make()

    settings = {"batch_size": 4, "lr": 1e-2, "warmup": 0.2, "epochs": 3, "optimizer": ADAMW, "clip": 0.3}
    return SimpleNamespace(
        config=SimpleNamespace(settings=SimpleNamespace(training=Recipe(**{**settings, **recipe}))),
        columns={"train": columns},
        modality=Plain("plain", augment),
        spec=SimpleNamespace(start=start, fresh=start, input=None),
        engine=Engine(Trainer(device="cpu", checkpoint_minutes=minutes)),
        reporter=QUIET,
    )


def stack_of(bench: Any, seeds: list[int] = SEEDS) -> Stack:
    return Stack([bench.spec.start(seed) for seed in seeds])


def together(bench: Any, rows: Tensor, seeds: list[int] = SEEDS) -> list[dict[str, Tensor]]:
    """Weights and buffers of each of some models, trained at once."""
    stack = stack_of(bench, seeds)
    abreast.training(bench, stack, seeds, rows, None, "together").run()
    return [stack.copy_to(place, bench.spec.fresh(0)).state_dict() for place in range(len(seeds))]


def alone(bench: Any, rows: Tensor, seed: int) -> dict[str, Tensor]:
    """Weights and buffers of one model, trained by itself."""
    model = bench.spec.start(seed)
    artifacts.fit(bench, model, rows, None, "alone", seed)
    return model.state_dict()


def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor], tolerance: float) -> None:
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        torch.testing.assert_close(found[name], values, rtol=tolerance, atol=tolerance, msg=name)


@pytest.mark.usefixtures("exact")
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(
    "recipe",
    [
        {"weight_decay": 0.1, "schedule": "cosine"},
        {"weight_decay": 0.1, "optimizer": SGD, "accumulate": 2, "lr": 0.2},
        {"optimizer": SOPHIA, "clip": None},
    ],
    ids=["adamw", "sgd", "sophia"],
)
def test_models_trained_at_once_are_what_each_is_alone(name, recipe):
    bench, rows = bench_of(name, **recipe), torch.arange(21)
    for seed, found in zip(SEEDS, together(bench, rows), strict=True):
        expected = alone(bench, rows, seed)
        assert_same(found, expected, 1e-6)
        start = bench.spec.start(seed).state_dict()
        assert any((expected[key] - start[key]).abs().max() > 1e-3 for key in start)


@pytest.mark.usefixtures("exact")
def test_each_model_is_clipped_by_its_own_norm():
    """One whose gradients are tiny beside one whose are huge: a norm of both together would still it."""
    bench = bench_of("mlp", optimizer=SGD, clip=0.5, epochs=1)
    stack = stack_of(bench, [1, 2])
    for place, scale in ((0, 1e-3), (1, 1e3)):
        for weight in stack.parameters():
            if weight.requires_grad:
                grad = weight.grad if weight.grad is not None else torch.zeros_like(weight)
                grad[place] = scale
                weight.grad = grad
    stack.clip(0.5)
    moving = [weight.grad.reshape(2, -1) for weight in stack.parameters() if weight.grad is not None]
    small, large = torch.cat(moving, dim=1).norm(dim=1)
    count = sum(part.shape[1] for part in moving)
    assert small == pytest.approx(1e-3 * count**0.5) and large == pytest.approx(0.5)


def test_seeds_of_shadow_models_are_no_training_seeds_of_their_own():
    seeds = [shadow_seed(42, number) for number in range(64)]
    assert len(set(seeds)) == 64 and 42 not in seeds
    others = {shadow_seed(43, number) for number in range(64)}
    assert not set(seeds) & (others | {43, teacher_seed(42), reference_seed(42)})


def test_dropout_differs_from_model_to_model():
    class Dropped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(3))

        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.dropout(x @ torch.ones(6, 3) * self.weight, 0.5, self.training)

    networks = [Dropped(), Dropped()]
    stack = Stack(networks)
    batch = Batch({"x": torch.ones(2, 40, 6)}, torch.zeros(2, 40).long(), torch.zeros(2, 40).long())
    first, second = stack.train().losses(Plain("plain"), batch)
    assert first != second
    first, second = stack.eval().losses(Plain("plain"), batch)
    assert first == second


class Interrupted(Exception):
    """Stands for a kill."""


@pytest.mark.parametrize("steps", [2, 6, 9])  # within the first pass, at its end, later
def test_a_resumed_training_of_several_ends_with_the_same_bits(tmp_path, monkeypatch, steps):
    monkeypatch.setattr("mubench.training.LOOK_EVERY", 2)
    bench, rows = bench_of("resnet", minutes=0), torch.arange(22)
    bench.columns["train"] = replace(
        bench.columns["train"], inputs={k: v.float() for k, v in bench.columns["train"].inputs.items()}
    )
    bench.modality = Single("plain", "noise")
    whole = stack_of(bench)
    abreast.training(bench, whole, SEEDS, rows, None, "whole").run()
    stopped, left = stack_of(bench), [steps]
    fit = abreast.training(bench, stopped, SEEDS, rows, tmp_path / "c.pt", "stopped")

    def stop() -> None:
        left[0] -= 1
        if not left[0]:
            raise Interrupted

    fit.hooks = replace(fit.hooks, after_step=stop)
    with pytest.raises(Interrupted):
        fit.run()
    resumed = stack_of(bench)
    abreast.training(bench, resumed, SEEDS, rows, tmp_path / "c.pt", "resumed").run()
    for (name, first), second in zip(whole.state_dict().items(), resumed.state_dict().values(), strict=True):
        assert torch.equal(first, second), name


@dataclass
class Single(Plain):
    """In float32."""

    def prepare(self, batch: Batch, expected: Any, generator: torch.Generator | None) -> Batch:
        made = super().prepare(batch, expected, generator)
        return replace(made, inputs={name: x.float() for name, x in made.inputs.items()})


# Every kind of task, every family of networks ---------------------------------------------------

TASKS = {
    "image": "mini/cifar100", "text": "mini/imdb", "text_generation": "mini/samsum",
    "text_to_image": "mini/tiny_imagenet", "image_text": "mini/nlvr2", "audio": "mini/speech_commands",
    "video": "mini/ucf101",
}  # fmt: skip
UNMAPPED = {"mini/hubert"}  # its code writes into a mask in place
FAMILIES = [
    (modality, name) for modality in TASKS for name in models_for(modality, DIRS) if name.startswith("mini/")
]


@pytest.fixture(scope="module")
def cached(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An outputs folder in which each task is encoded once for each kind of network."""
    return tmp_path_factory.mktemp("shadows")


def doubled(modality: Any) -> Any:
    """The modality, with prepared inputs in float64."""

    class Doubled(type(modality)):  # type: ignore[misc]
        def prepare(self, batch: Batch, expected: Any, generator: torch.Generator | None) -> Batch:
            torch.set_default_dtype(torch.float32)
            made = super().prepare(batch, expected, generator)
            torch.set_default_dtype(torch.float64)
            inputs = {k: v.double() if v.is_floating_point() else v for k, v in made.inputs.items()}
            return replace(made, inputs=inputs)

    return Doubled(**{field.name: getattr(modality, field.name) for field in fields(modality)})


def workbench(name: str, modality: str, out: Path, *more: str) -> Workbench:
    """A mini model on the mini task of its kind; float32."""
    words = [f"task={TASKS[modality]}", f"model={name}", f"out={out}", "trainer.device=cpu", *more]
    words += ["training.epochs=1", "training.batch_size=4", "trainer.precision=fp32"]
    (cell,) = Planner(DIRS).cells(words, multirun=False)
    return lay_out(cell, QUIET)


@pytest.mark.parametrize(("modality", "name"), FAMILIES, ids=[name for _, name in FAMILIES])
def test_every_family_is_mapped_over_or_said_not_to_be(modality, name, cached):
    """Two steps of two models, in float64: the loss of each kind of task, and each network's own code."""
    bench, rows = workbench(name, modality, cached, "shadows=2", "trainer.at_once=2"), torch.arange(8)
    way = choose(bench, rows)
    if name in UNMAPPED:
        assert way.at_once == 1 and way.why.startswith("torch.func cannot map this network (vmap: ")
        return
    assert way.at_once == 2, way
    bench = replace(bench, modality=doubled(bench.modality))
    torch.set_default_dtype(torch.float64)
    try:
        for seed, found in zip([5, 6], together(bench, rows, [5, 6]), strict=True):
            assert_same(found, alone(bench, rows, seed), 1e-6)
    finally:
        torch.set_default_dtype(torch.float32)
