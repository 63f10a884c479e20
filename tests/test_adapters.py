"""LoRA on every small network that a yaml describes: a new one is covered without an edit here."""

from __future__ import annotations

import copy
import json
from functools import cache

import pytest
import torch
from command_line import ALONE, FAST, mubench, names, record_of
from safetensors.torch import load_file
from torch import Tensor, nn

from mubench import catalog, encoding, models
from mubench.adapters import layers
from mubench.adapters.base import NoAdapter
from mubench.adapters.layers import Layer
from mubench.adapters.lora import LoRA
from mubench.data import Dataset, Stream
from mubench.engine import Engine
from mubench.errors import UsageError
from mubench.files import Corrupt
from mubench.modalities.base import Modality
from mubench.networks.resnet import SmallResNet
from mubench.networks.vit import SmallViT
from mubench.plan import Planner
from mubench.progress import Reporter
from mubench.schema import Recipe, Trainer
from mubench.training import Fit, Pass, train_mode
from mubench.typed import component

DIRS = catalog.config_dirs()
PLANNER = Planner(DIRS)
SMALL = [name for name in catalog.names("model", DIRS) if name.startswith("mini/") or "-small" in name]
TINY = {"train": 24, "validation": 8, "valid": 8, "test": 8}  # rows to generate, where a twin says how many
QUIET = Reporter(quiet=True)


@cache
def twins() -> dict[str, tuple[str, str]]:
    """{task: (modality, default model)} of the tasks that need no download, twins first."""
    tasks = [*(t for t in catalog.names("task", DIRS) if t.startswith("mini/")), "digits"]
    keys = {task: PLANNER.cells([f"task={task}"], multirun=False)[0].key for task in tasks}
    return {task: (key["modality"], key["model"]) for task, key in keys.items()}


def starts(name: str) -> bool:
    """Whether a model starts from random weights: nothing to download."""
    from omegaconf import OmegaConf

    return OmegaConf.load(catalog.path_of("model", name, DIRS)).model.checkpoint is None


RANDOM = [name for name in SMALL if starts(name)]


def task_for(model: str) -> str:
    """The twin that the model is made for, else the first of its modality."""
    from omegaconf import OmegaConf

    reads = OmegaConf.load(catalog.path_of("model", model, DIRS)).model.modality
    own = [task for task, (_, default) in twins().items() if default == model]
    return (own + [task for task, (modality, _) in twins().items() if modality == reads])[0]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("adapters")


@cache
def prepared(name: str, out) -> tuple[Dataset, Modality, models.ModelSpec]:
    """A little of the twin's data, encoded for the model, and the model's description."""
    words = [f"task={task_for(name)}", f"model={name}"]
    settings = PLANNER.cells(words, multirun=False)[0].settings
    made = settings.task.get("generate")
    if isinstance(made, dict):
        settings.task["generate"] = {**made, **{key: TINY[key] for key in TINY if key in made}}
    modality = component(settings.modality, "modality")
    data = encoding.load(component(settings.task, "task"), modality, settings.model, out, QUIET)
    return data, modality, models.describe(settings.model, data, modality)


class Bench:
    """A model with its data: forwards, and training by mubench's own loop."""

    def __init__(self, name: str, out) -> None:
        self.data, self.modality, self.spec = prepared(name, out)
        self.classes = self.spec.classes if "classes" in self.modality.gives else 0
        self.stream = Stream(self.data["train"], torch.arange(3), 3, torch.device("cpu"))

    def logits(self, model: nn.Module) -> Tensor:
        (batch,) = self.stream.batches(None)
        model.eval()
        with torch.no_grad(), models.seeded(5):
            return self.modality.logits(model, self.modality.prepare(batch, self.spec.input, None))

    def train(self, model: nn.Module) -> None:
        """One step."""
        recipe = Recipe(epochs=1, lr=1e-2, optimizer={"_target_": "torch.optim.AdamW"})

        def loss(batch) -> Tensor:
            return self.modality.losses(self.modality.logits(model, batch), batch.targets).mean()

        def ready(batch, generator) -> object:
            return self.modality.prepare(batch, self.spec.input, generator)

        engine = Engine(Trainer(device="cpu"))
        Fit(model, [Pass(self.stream, loss)], recipe, engine, 1, QUIET, "step", ready).run()


def state(model: nn.Module) -> dict[str, Tensor]:
    """Weights and buffers under the names they have without an adapter."""
    found = {name.replace(".base_layer.", "."): value for name, value in model.state_dict().items()}
    return {name: value.clone() for name, value in found.items() if ".lora_" not in name}


@pytest.mark.parametrize("name", RANDOM)
def test_only_the_updates_and_the_head_move_and_can_be_loaded_again(name, place, tmp_path):
    bench = Bench(name, place)
    original = bench.spec.start(1)
    before, start = bench.logits(original), state(original)
    adapter = LoRA("lora", fraction=0.1)
    chosen, heads = layers.targets(original, bench.classes), layers.heads(original, bench.classes)
    assert len(chosen) >= 3 and bool(heads) == bool(bench.classes)
    model = adapter.attach(copy.deepcopy(original), bench.classes, 1, QUIET)
    assert torch.equal(bench.logits(model), before)
    _fraction_is_met(model, chosen, sum(w.numel() for w in original.parameters()))

    called = set()
    updated = {name: m for name, m in model.named_modules() if hasattr(m, "lora_B")}
    for key, module in updated.items():
        module.register_forward_hook(lambda *_, key=key: called.add(key))
    bench.train(model)
    assert set(updated) == {layer.name for layer in chosen} == called
    still = {key for key in called if not updated[key].lora_B["default"].weight.abs().max() > 0}
    assert len(still) < len(called) / 4, still  # some layers' outputs matter to no loss at the start
    after = state(model)
    assert set(after) == set(start)
    moved = {key for key in start if not torch.equal(start[key], after[key])}
    assert all(any(key.startswith(f"{head}.") for head in heads) for key in moved)
    assert bool(moved) == bool(heads)

    adapter.save(model, tmp_path)
    assert names(tmp_path) == {"adapter_model.safetensors", "adapter_config.json"}
    again = adapter.load(copy.deepcopy(original), tmp_path)
    assert torch.equal(bench.logits(again), bench.logits(model))
    assert not torch.equal(bench.logits(model), before)


def _fraction_is_met(model: nn.Module, chosen: list[Layer], whole: int) -> None:
    """As many weights as the nearest rank allows: within one rank of a tenth, or all at full rank."""
    added = sum(w.numel() for name, w in model.named_parameters() if ".lora_" in name)
    rank = layers.rank_for(chosen, whole / 10)
    assert added == layers.size(chosen, rank)
    for other in (rank - 1, rank + 1):
        assert other < 1 or abs(added - whole / 10) <= abs(layers.size(chosen, other) - whole / 10)


# The rank, by hand -----------------------------------------------------------------------------


def test_the_rank_whose_weights_are_nearest_to_the_wanted_number():
    three = [Layer("a", 10, 20), Layer("b", 9 * 4, 4), Layer("c", 6, 4)]  # 30, 40 and 10 weights a rank
    assert [layer.full for layer in three] == [10, 4, 4]
    assert layers.size(three, 2) == 160 and layers.size(three, 6) == 6 * 30 + 4 * 40 + 4 * 10
    assert layers.rank_for(three, 1) == 1
    assert layers.rank_for(three, 199) == 2 and layers.rank_for(three, 201) == 3
    assert layers.rank_for(three, 320) == 4 and layers.rank_for(three, 349) == 5  # beyond 4 only a's 30
    assert layers.rank_for(three, 10_000) == 10


def test_of_digits_network_a_tenth_is_rank_four():
    network = SmallResNet(10, 1, 8)
    chosen = layers.targets(network, 10)
    assert chosen[0] == Layer("stem", 9, 16) and "head" not in {layer.name for layer in chosen}
    per_rank = (9 + 16) + 2 * (144 + 16) + (144 + 32) + (288 + 32) + (16 + 32) + (288 + 64)
    per_rank += (576 + 64) + (32 + 64)
    assert layers.size(chosen, 1) == per_rank
    whole = sum(w.numel() for w in network.parameters())
    assert layers.rank_for(chosen, whole / 10) == round(whole / 10 / per_rank) == 4


def test_a_rank_above_full_is_clipped_with_a_warning_and_keeps_its_scale(capsys):
    model = LoRA("lora", rank=20).attach(SmallResNet(10, 1, 8), 10, 1, Reporter())
    said = capsys.readouterr().err
    assert "warning: rank 20 is above the full rank of 4 layers, which get full rank" in said
    ranks = {m.r["default"] for m in model.modules() if hasattr(m, "lora_A")}
    assert ranks == {9, 16, 20}
    assert {m.scaling["default"] for m in model.modules() if hasattr(m, "lora_A")} == {2.0}


# What is adapted -------------------------------------------------------------------------------


class Odd(nn.Module):
    """Layers of which some cannot have an update beside them."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2)
        self.fused = nn.TransformerEncoderLayer(8, 2, 16)
        self.depthwise, self.dilated = nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(8, 8, 3, dilation=2)
        self.normed = nn.utils.parametrizations.weight_norm(nn.Conv1d(8, 8, 3))
        self.frozen = nn.Linear(8, 8).requires_grad_(False)
        self.words, self.scores = nn.Embedding(12, 8), nn.Linear(8, 12, bias=False)
        self.scores.weight = self.words.weight
        self.middle, self.wide = nn.Linear(8, 3), nn.Conv3d(3, 8, 2)
        self.fc = nn.Linear(8, 3)


def test_layers_are_found_by_what_they_are():
    assert [layer.name for layer in layers.targets(Odd(), 0)] == ["middle", "wide", "fc"]
    assert [layer.name for layer in layers.targets(Odd(), 3)] == ["middle", "wide"]
    assert layers.heads(Odd(), 3) == ["fc"] and layers.heads(Odd(), 5) == []
    assert layers.heads(SmallViT(10, 1, 8), 10) == ["head"]
    with pytest.raises(UsageError, match="no linear or convolutional layer"):
        layers.targets(nn.Sequential(nn.ReLU()), 3)


def test_targets_are_ends_of_names():
    network = SmallResNet(10, 1, 8)
    found = layers.targets(network, 10, ["conv1", "2.0.conv2"])
    assert [layer.name[-7:] for layer in found] == ["0.conv1", "0.conv1", "0.conv1", "0.conv2"]
    with pytest.raises(UsageError, match=r"is called 'conv3'\. Did you mean 'conv[12]'\?"):
        LoRA("lora", targets=["conv3"]).check(lambda: network, 10)
    with pytest.raises(UsageError, match="'head'"):
        layers.targets(network, 10, ["head"])


def test_only_the_unlearning_seed_draws_the_updates():
    network, torch_state = SmallResNet(10, 1, 8), torch.get_rng_state()
    first, again, other = (
        LoRA("lora").attach(copy.deepcopy(network), 10, seed, QUIET).state_dict() for seed in (1, 1, 2)
    )
    drawn = [name for name in first if "lora_A" in name]
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in drawn)
    assert torch.equal(torch_state, torch.get_rng_state())


def test_statistics_stand_still_in_a_copy_too():
    model = copy.deepcopy(LoRA("lora").attach(SmallResNet(10, 1, 8), 10, 1, QUIET))
    train_mode(model)
    before = state(model)
    model(torch.randn(4, 1, 8, 8))
    assert model.training and not model.norm.training
    assert all(torch.equal(value, before[name]) for name, value in state(model).items())


# Files -----------------------------------------------------------------------------------------


def test_peft_itself_reads_the_files(tmp_path):
    from peft import PeftModel

    network, pixels = SmallResNet(10, 1, 8).eval(), torch.randn(3, 1, 8, 8)
    adapter = LoRA("lora", rank=20)
    model = adapter.attach(copy.deepcopy(network), 10, 1, QUIET).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight += 0.01 * weight.requires_grad
    adapter.save(model, tmp_path)
    assert torch.equal(PeftModel.from_pretrained(network, str(tmp_path)).eval()(pixels), model(pixels))


def test_files_that_do_not_fit_together_are_refused(tmp_path):
    network, adapter = SmallResNet(10, 1, 8), LoRA("lora")
    adapter.save(adapter.attach(copy.deepcopy(network), 10, 1, QUIET), tmp_path)
    config = tmp_path / "adapter_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "target_modules": "stem"}))
    with pytest.raises(Corrupt, match="other weights"):
        adapter.load(network, tmp_path)


def test_without_an_adapter_the_whole_model_is_kept(tmp_path):
    network, other = SmallResNet(10, 1, 8), SmallResNet(10, 1, 8)
    NoAdapter("none").save(NoAdapter("none").attach(network, 10, 1, QUIET), tmp_path)
    loaded = NoAdapter("none").load(other, tmp_path)
    assert all(
        torch.equal(a, b) for a, b in zip(state(loaded).values(), state(network).values(), strict=True)
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"rank": 4, "fraction": 0.1}, "give either adapter.rank or adapter.fraction, not both"),
     ({"rank": 0}, "adapter.rank must lie in"), ({"fraction": 0.0}, "adapter.fraction must lie in"),
     ({"fraction": 1.5}, "adapter.fraction must lie in"), ({"alpha": 0.0}, "adapter.alpha must lie in"),
     ({"dropout": 1.0}, "adapter.dropout must lie in"), ({"targets": []}, "adapter.targets names no layer")],
)  # fmt: skip
def test_settings_that_make_no_sense_are_refused(changes, said):
    with pytest.raises(UsageError, match=said):
        LoRA("lora", **changes)


# The command -----------------------------------------------------------------------------------


def test_runs_of_the_command_say_what_moved(outputs):
    common = [*FAST, ALONE, "adapter=lora", "save_model=true", f"out={outputs.folder}"]
    words = ["method=salun,original", "adapter.fraction=0.1"]
    done = mubench("run", "-m", *words, *common)
    assert done.status == 0, done.err
    assert "LoRA of rank 4 on 9 layers: 7,908 weights, 10.2 % of the model's, and head whole" in done.err
    for method in ("salun", "original"):
        (run,) = outputs.runs(method)
        record = record_of(run)
        cost, kept = record["cost"], load_file(run / "model" / "adapter_model.safetensors")
        assert cost["trainable_parameters"] == sum(w.numel() for w in kept.values()) < cost["parameters"] / 5
        assert {"model/adapter_model.safetensors", "model/adapter_config.json"} <= set(record["files"])
        moved = any(w.any() for name, w in kept.items() if "lora_B" in name)
        assert moved == (method != "original")
