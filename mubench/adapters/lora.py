"""LoRA: low-rank updates beside frozen weights (Hu et al., 2106.09685), by the package peft."""

from __future__ import annotations

import copy
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from mubench import models
from mubench.adapters import layers
from mubench.adapters.base import Adapter
from mubench.adapters.layers import Layer
from mubench.errors import UsageError
from mubench.files import Corrupt, write_atomically, write_json
from mubench.progress import Reporter
from mubench.schema import within

RANK = 8  # where neither a rank nor a fraction is asked for
WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"  # as peft calls them


@dataclass
class LoRA(Adapter):
    """w + (alpha / rank) B A for every linear and convolutional layer; a classifier's head moves whole.

    All other weights, and the statistics of batch normalisation, keep the original's bits.
    """

    rank: int | None = None
    fraction: float | None = None  # parameters of all A and B, as a share of the model's own
    alpha: float | None = None  # null: twice the rank
    dropout: float = 0.0
    targets: list[str] | None = None  # ends of the layers' names; null: every layer but the head

    source: ClassVar[tuple[str, ...]] = ("hu2021",)
    formula: ClassVar[str] = "w + (alpha / rank) B A, moving only B and A"

    def __post_init__(self) -> None:
        if self.rank is not None and self.fraction is not None:
            raise UsageError("adapter: give either adapter.rank or adapter.fraction, not both")
        if self.rank is not None:
            within("adapter.rank", self.rank, 1, 1e6)
        if self.fraction is not None:
            within("adapter.fraction", self.fraction, 0, 1, "(]")
        if self.alpha is not None:
            within("adapter.alpha", self.alpha, 0, 1e6, "(]")
        within("adapter.dropout", self.dropout, 0, 1, "[)")
        if self.targets == []:
            raise UsageError("adapter.targets names no layer; null stands for all")

    def check(self, build: Callable[[], nn.Module], classes: int) -> None:
        """UsageError for names that no layer of the network has."""
        if self.targets is not None:
            layers.targets(build(), classes, self.targets)

    def attach(self, model: nn.Module, classes: int, seed: int, reporter: Reporter) -> nn.Module:
        """The same model with B = 0 beside its layers: it computes what it did."""
        chosen, heads = layers.targets(model, classes, self.targets), layers.heads(model, classes)
        whole = sum(weight.numel() for weight in model.parameters())
        rank = self._rank(chosen, whole)
        added, clipped = layers.size(chosen, rank), sum(layer.full < rank for layer in chosen)
        beside = f", and {', '.join(heads)} whole" if heads else ""
        reporter.say(
            f"  LoRA of rank {rank} on {len(chosen)} layers: {added:,} weights, "
            f"{100 * added / whole:.3g} % of the model's{beside}"
        )
        if clipped:
            reporter.warn(f"rank {rank} is above the full rank of {clipped} layers, which get full rank")
        with models.seeded(seed, next(model.parameters()).device):
            return inject(model, self._config(chosen, rank, heads))

    def added(self, model: nn.Module) -> frozenset[str]:
        """A and B of every layer."""
        return frozenset(name for name, _ in model.named_parameters() if ".lora_" in name)

    def merged(self, model: nn.Module) -> nn.Module:
        """A copy whose layers are plain again, their updates added to their weights."""
        from peft.tuners.lora import LoraLayer

        copied = copy.deepcopy(model)
        for name, layer in list(copied.named_modules()):
            if isinstance(layer, LoraLayer):
                layer.merge()
                copied.set_submodule(name, layer.get_base_layer())
        return copied

    def save(self, model: nn.Module, folder: Path) -> None:
        """The updates and the head as peft keeps them, so that its PeftModel.from_pretrained reads them."""
        found = {_stored(name): w.detach().contiguous() for name, w in _moving(model).items()}
        write_atomically(folder / WEIGHTS, lambda temporary: save_file(found, temporary))
        config: Any = model.peft_config
        content = {name: _plain(value) for name, value in config["default"].to_dict().items()}
        write_json(folder / CONFIG, content)

    def load(self, model: nn.Module, folder: Path) -> nn.Module:
        """The original with the stored updates and head; Corrupt if the files do not fit together."""
        from peft import LoraConfig

        model = inject(model, LoraConfig.from_pretrained(str(folder)))
        found, moving = load_file(folder / WEIGHTS), _moving(model)
        if {_stored(name) for name in moving} != set(found):
            raise Corrupt(f"{folder / WEIGHTS} holds other weights than {CONFIG} beside it says")
        with torch.no_grad():
            for name, weight in moving.items():
                weight.copy_(found[_stored(name)])
        return model

    def _rank(self, chosen: Sequence[Layer], whole: int) -> int:
        if self.fraction is not None:
            return layers.rank_for(chosen, self.fraction * whole)
        return self.rank or RANK

    def _config(self, chosen: Sequence[Layer], rank: int, heads: list[str]) -> Any:
        """peft's own description; names stand in patterns that match them whole."""
        from peft import LoraConfig

        alpha = 2.0 * rank if self.alpha is None else self.alpha
        clipped = {f"^{re.escape(layer.name)}": layer.full for layer in chosen if layer.full < rank}
        return LoraConfig(
            r=rank,
            lora_alpha=alpha,
            lora_dropout=self.dropout,
            target_modules="|".join(re.escape(layer.name) for layer in chosen),
            rank_pattern=clipped,
            alpha_pattern={name: alpha * full / rank for name, full in clipped.items()},
            modules_to_save=heads or None,
        )


def inject(model: nn.Module, config: Any) -> nn.Module:
    """Put fresh updates beside the layers, in place; only they and the heads are trainable then."""
    from peft import inject_adapter_in_model
    from peft.tuners.lora import LoraLayer

    heads: list[str] = config.modules_to_save or []
    config.modules_to_save = None  # peft would wrap every part whose name merely ends so
    with warnings.catch_warnings():  # peft settles by itself how a layer stores its weight, and says so
        warnings.filterwarnings("ignore", message="fan_in_fan_out is set")
        injected: nn.Module = inject_adapter_in_model(config, model)
    config.modules_to_save = heads or None
    for name in heads:
        injected.get_submodule(name).requires_grad_(True)
    for module in injected.modules():
        if isinstance(module, LoraLayer):
            _show_geometry(module, module.get_base_layer())
    return injected


def _show_geometry(updated: nn.Module, base: nn.Module) -> None:
    """What a model may read of a convolution (Whisper does), which peft hides behind its own layer."""
    for name in ("kernel_size", "stride", "padding", "dilation"):
        if hasattr(base, name) and not hasattr(updated, name):
            setattr(updated, name, getattr(base, name))


def _moving(model: nn.Module) -> dict[str, Tensor]:
    return {name: weight for name, weight in model.named_parameters() if weight.requires_grad}


def _stored(name: str) -> str:
    """A weight's name in peft's files."""
    return f"base_model.model.{name.replace('.default.', '.')}"


def _plain(value: Any) -> Any:
    """A value of peft's config as JSON has it."""
    if isinstance(value, set | tuple):
        return sorted(value)
    return getattr(value, "value", value)
