"""Shadow models: many trained at once are what each would be by itself; kept, resumed, shared by methods."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from command_line import FIRST, mubench, names, record_of
from test_safety import stop, there_is
from torch import Tensor, nn

from mubench import artifacts, catalog
from mubench.checking import models_for
from mubench.config import RunConfig
from mubench.data import Batch, Columns
from mubench.engine import Engine
from mubench.modalities.classification import Classification
from mubench.models import reference_seed, shadow_seed, teacher_seed
from mubench.networks.resnet import SmallResNet
from mubench.plan import Planner
from mubench.progress import Reporter
from mubench.schema import Recipe, Trainer
from mubench.shadows import abreast, store, trial
from mubench.shadows.stack import Stack
from mubench.shadows.trial import Way, choose
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
    few = ["train"] if modality == "text_to_image" else ["train", "test"]
    words += [f"task.generate.{split}=200" for split in few]
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


# Which way ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def digits(cached: Path) -> Workbench:
    words = ["shadows=20", f"out={cached}", "trainer.device=cpu", "training.batch_size=16"]
    return lay_out(Planner(DIRS).cells(words, multirun=False)[0], QUIET)


def with_settings(bench: Workbench, **changes: Any) -> Workbench:
    return replace(bench, config=replace(bench.config, settings=replace(bench.config.settings, **changes)))


@pytest.mark.parametrize(("times", "at_once"), [((1.0, 1.0), 16), ((0.1, 2.0), 1)])
def test_the_faster_way_is_taken_and_said(digits, monkeypatch, times, at_once):
    alone, together = times
    seconds = iter((3 * alone, 3 * together))
    monkeypatch.setattr(trial, "_seconds", lambda train: next(seconds))
    way = choose(digits, digits.rows("train"))
    told = f"a step of 16 takes {1000 * together:.3g} ms at once, {16000 * alone:.3g} ms one after the other"
    words = "16 at a time" if at_once > 1 else "one after the other"
    assert (way.at_once, str(way)) == (at_once, f"{words}: {told}")


def test_some_are_trained_one_after_the_other_for_a_reason(digits, monkeypatch):
    rows = digits.rows("train")
    assert choose(with_settings(digits, shadows=1), rows).at_once == 1
    once = replace(digits.config.settings.trainer, at_once=1)
    assert choose(with_settings(digits, trainer=once), rows).why == "trainer.at_once=1"
    other = {"name": "mine", "_target_": "torch.optim.LBFGS"}
    recipe = replace(digits.config.settings.training, optimizer=other)
    way = choose(with_settings(digits, training=recipe), rows)
    assert str(way) == "one after the other: optimizer 'mine' sees more than one weight at a time"
    monkeypatch.setattr(trial, "WEIGHTS", 2 * 77_754 - 1)
    assert "each has 77,754 weights, and at most 155,507 are stacked" in choose(digits, rows).why


def test_fewer_are_tried_where_memory_ends(digits, monkeypatch):
    tried = []

    def full(bench: Workbench, rows: Tensor, most: int) -> Way:
        tried.append(most)
        if most > 4:
            raise torch.OutOfMemoryError
        return Way(most, "")

    monkeypatch.setattr(trial, "_timed", full)
    assert choose(digits, digits.rows("train")).at_once == 4 and tried == [16, 8, 4]


def test_a_network_that_is_mapped_over_wrongly_is_not_stacked(cached, monkeypatch):
    """As torch.func does without our help: the second model's padding moves, the first one's does not."""
    monkeypatch.setattr("mubench.shadows.stack._fit_for_mapping", lambda part: None)
    bench = workbench("mini/bart", "text_generation", cached, "shadows=2", "trainer.at_once=2")
    way = choose(bench, torch.arange(8))
    assert way.at_once == 1 and "losses or gradients are not its own" in way.why


def test_the_way_is_tried_once(digits, monkeypatch):
    ways = iter([Way(7, "tried")])
    monkeypatch.setattr(store, "choose", lambda bench, rows: next(ways))
    assert [store._way(digits, digits.rows("train")) for _ in range(2)] == [Way(7, "tried")] * 2


def test_groups_are_the_same_whatever_their_number():
    assert list(store._groups([0, 2, 3, 17, 40], 16)) == [[0, 2, 3], [17], [40]]
    assert list(store._groups([1, 2], 1)) == [[1], [2]]


# The real command -----------------------------------------------------------------------------------


def cell(*words: str) -> RunConfig:
    return Planner(DIRS).cells(list(words), multirun=False)[0]


def test_who_shares_shadow_models():
    """Originals' do not hang on the forget set; a number is a prefix of a larger one, and another run."""
    first, more, other = cell("shadows=2"), cell("shadows=4"), cell("shadows=2", "deletion.ratio=9")
    assert more.shadow_dirs("original")[:2] == first.shadow_dirs("original") == other.shadow_dirs("original")
    assert more.shadow_dirs("retrained")[:2] == first.shadow_dirs("retrained")
    assert not set(first.shadow_dirs("retrained")) & set(other.shadow_dirs("retrained"))
    method, seed = cell("shadows=2", "method=scrub", "seed.unlearn=3"), cell("shadows=2", "seed.train=1")
    assert method.shadow_dirs("retrained") == first.shadow_dirs("retrained")
    assert not set(seed.shadow_dirs("original")) & set(first.shadow_dirs("original"))
    assert len({first.fingerprint, more.fingerprint, cell().fingerprint}) == 3
    assert cell("shadows=2", "trainer.at_once=1").fingerprint == first.fingerprint
    assert cell().fingerprint == cell("shadows=0").fingerprint and cell().shadow_dirs("original") == []
    assert cell("shadows=2").model_dir("original") == cell().model_dir("original")


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("shadows=-1", "shadows must lie in [0, 10000], not -1"),
        ("shadows=few", "shadows: value 'few' of type 'str' could not be converted to Integer"),
        ("trainer.at_once=0", "trainer.at_once must lie in [1, 10000], not 0"),
        ("shadow=3", "unknown setting 'shadow'. Did you mean 'shadows'?"),
    ],
)
def test_wrong_numbers_are_one_sentence(cli, word, sentence):
    done = cli("prepare", word)
    assert done.status == 2 and sentence in done.err, done.err


FOLDER = "models/digits/resnet-small/shadows"
KEPT = ("model.safetensors", "predictions.safetensors", "record.json")


def test_a_run_trains_shadow_models_first_and_another_number_goes_on_from_them(outputs, cli):
    words = [*FIRST[1:], "shadows=2", "trainer.at_once=2", f"out={outputs.folder}"]
    plan = cli("prepare", "--dry-run", *words).out.splitlines()
    assert plan[0] == "1 runs: 0 complete, 1 to do, 4 shared models to train"
    done = mubench("run", *words)
    assert done.status == 0 and "Training 2 original shadow models on 1,347 examples" in done.err, done.err
    assert "  2 at a time: a step of 2 takes " in done.err and "Training the" not in done.err
    homes = sorted((outputs.folder / FOLDER).glob("*-seed42-????????"))
    assert [home.name.split("-")[0] for home in homes] == ["original", "retrained"]
    assert names(homes[1]) == {f"000{number}/{name}" for number in (0, 1) for name in KEPT}
    assert names(homes[0]) == names(homes[1]) | {"way.json"}
    shadows = [record_of(home / f"000{number}") for home in homes for number in (0, 1)]
    assert [record["seed"] for record in shadows] == 2 * [shadow_seed(42, 0), shadow_seed(42, 1)]
    record = next(r for r in map(record_of, outputs.runs()) if r["config"]["shadows"] == 2)
    seconds = sum(shadow["cost"]["seconds"] for shadow in shadows)
    assert record["cost"]["shadows_seconds"] == pytest.approx(seconds)
    assert len(outputs.runs()) == 2 and record["reasons"]["unlearned.lira_auc"] == (
        "the attack needs 4 shadow models of a kind, not 2: shadows=8"
    )
    (homes[0] / "0001" / "model.safetensors").write_bytes(b"half")
    before = (homes[0] / "0000" / "record.json").read_text()
    again = mubench("prepare", *words[:-1], "shadows=3", words[-1])
    assert again.status == 0 and len(again.out.splitlines()) == 8, again.err
    path = homes[0] / "0001" / "model.safetensors"
    warning = (
        f"{path} is not what was written (its hash differs); the original shadow model 1 is trained again"
    )
    assert f"mubench: warning: {warning}\n" in again.err
    assert "Training 2 original shadow models" in again.err
    assert "Training 1 retrained shadow model on" in again.err
    assert (homes[0] / "0000" / "record.json").read_text() == before


def test_killed_while_shadow_models_are_trained_the_same_command_goes_on(outputs, tmp_path):
    """Killed twice, once between two batches and once within one: as if undisturbed."""
    shutil.copytree(outputs.folder, tmp_path / "undisturbed")
    words = ["prepare", *FIRST[1:], "shadows=4", "trainer.at_once=2", "trainer.checkpoint_minutes=0"]
    out = f"out={outputs.folder}"
    stop(signal.SIGKILL, there_is(outputs.folder, f"{FOLDER}/original-*/0001/record.json"), *words, out)
    finished = record_of(next(outputs.folder.glob(f"{FOLDER}/original-*/0001")))["finished"]
    stop(signal.SIGKILL, there_is(outputs.folder, f"{FOLDER}/*/*.pt"), *words, out)
    ends = [mubench(*words, out), mubench(*words, f"out={tmp_path / 'undisturbed'}")]
    assert [done.status for done in ends] == [0, 0], ends
    assert "shadow 2 to 3: resuming at step" in ends[0].err and "shadow 0 to 1" in ends[0].err
    assert record_of(next(outputs.folder.glob(f"{FOLDER}/original-*/0001")))["finished"] == finished
    mine, other = (path / FOLDER for path in (outputs.folder, tmp_path / "undisturbed"))
    assert names(mine) == names(other) and len(names(mine)) == 2 * 4 * len(KEPT) + 1 + 2
    for path in mine.glob("*/*/*.safetensors"):
        assert path.read_bytes() == (other / path.relative_to(mine)).read_bytes(), path
