"""One small problem of each family that methods must serve: a real modality, a tiny model, random data.

Another family is one more function in `FAMILIES`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tiny import ADAMW
from torch import Tensor

from mubench.data import Columns
from mubench.engine import Engine
from mubench.methods.base import Method
from mubench.modalities.base import Modality
from mubench.modalities.image import Image, InputSpec
from mubench.modalities.image_text import ImageText, PairSpec
from mubench.modalities.text import TextSpec
from mubench.modalities.text_generation import GenerationSpec, TextGeneration
from mubench.modalities.text_to_image import PromptSpec, TextToImage
from mubench.models import ModelSpec
from mubench.progress import Reporter
from mubench.run import Run
from mubench.schema import Recipe, Trainer

NETWORKS = "mubench.networks"


@dataclass(frozen=True)
class Family:
    """What a Run needs; D_f is no multiple of the batch, and the recipe as short as it may be."""

    modality: Modality
    spec: ModelSpec
    train: Columns
    validation: Columns
    forget: list[int]
    retain: list[int]
    recipe: dict[str, Any] = field(default_factory=lambda: {"epochs": 1, "batch_size": 4, "lr": 1e-2})

    def serves(self, method: Method) -> bool:
        """Whether the method says that it applies."""
        return method.serves(self.modality)


def image() -> Family:
    """A small ResNet on noise of four classes."""

    def split(count: int, seed: int) -> Columns:
        rng = np.random.default_rng(seed)
        pixels = torch.from_numpy(rng.integers(0, 256, (count, 1, 8, 8), dtype=np.uint8))
        labels = torch.from_numpy(rng.integers(0, 4, count))
        return Columns({"pixel_values": pixels}, labels, np.arange(count))

    spec = ModelSpec(
        {"_target_": f"{NETWORKS}.resnet.SmallResNet", "widths": [8, 8]}, 4,
        {"channels": 1, "image_size": 8}, InputSpec(8, (0.5,), (0.3,)),
    )  # fmt: skip
    recipe = {"epochs": 3, "batch_size": 8, "lr": 1e-2}
    forget, retain = list(range(21)), list(range(21, 60))
    return Family(Image("image"), spec, split(60, 0), split(20, 1), forget, retain, recipe)


@dataclass
class Tokens(TextGeneration):
    """Text generation without a tokenizer: refusals are random tokens."""

    def refusals(self, expected: GenerationSpec) -> Tensor:
        return torch.randint(2, 12, (5, 3), generator=torch.Generator().manual_seed(0))


def text_generation() -> Family:
    """A GPT-2 of two layers on random answers; 0 is padding, 1 ends a text."""

    def split(count: int, seed: int) -> Columns:
        draw = torch.Generator().manual_seed(seed)
        prompts, answers = (torch.randint(2, 12, (count, width), generator=draw) for width in (4, 3))
        lengths = torch.randint(1, 4, (count, 1), generator=draw)
        answers[(torch.arange(3) >= lengths)] = -100
        inputs = {"prompt_ids": prompts.int(), "prompt_mask": torch.ones_like(prompts).bool()}
        return labelled(inputs, answers)

    special = {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 1}
    sizes = {"n_embd": 8, "n_layer": 2, "n_head": 1, "resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
    spec = ModelSpec(
        {"_target_": f"{NETWORKS}.pretrained.from_config", "auto": "AutoModelForCausalLM", "family": "gpt2",
         "dimensions": sizes}, 0,
        {"vocab_size": 12, "max_position_embeddings": 8, **special}, GenerationSpec("", special, 12, 8),
    )  # fmt: skip
    forget, retain = list(range(9)), list(range(9, 22))
    return Family(Tokens("text_generation"), spec, split(22, 0), split(6, 1), forget, retain)


def text_to_image() -> Family:
    """A denoiser of 8-pixel pictures, with a text encoder of one layer."""

    def split(count: int, seed: int) -> Columns:
        draw = torch.Generator().manual_seed(seed)
        prompts = torch.randint(2, 10, (count, 3), generator=draw).int()
        pictures = torch.randint(0, 256, (count, 3, 8, 8), generator=draw).to(torch.uint8)
        return labelled({"input_ids": prompts, "prompt": torch.zeros(count)}, pictures)

    unet = {
        "sample_size": 8, "block_out_channels": [8], "layers_per_block": 1, "norm_num_groups": 2,
        "down_block_types": ["DownBlock2D"], "mid_block_type": None, "up_block_types": ["UpBlock2D"],
        "cross_attention_dim": 8, "addition_embed_type": "text", "addition_embed_type_num_heads": 1,
    }  # fmt: skip
    text = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    spec = ModelSpec(
        {"_target_": f"{NETWORKS}.diffusion.from_config", "unet": unet, "text_encoder": text,
         "scheduler": {}}, 0, {"vocab_size": 10, "length": 3}, PromptSpec(10, 3, (0, 0, 0), Path()),
    )  # fmt: skip
    forget, retain = list(range(9)), list(range(9, 22))
    return Family(TextToImage("text_to_image"), spec, split(22, 0), split(6, 1), forget, retain)


def image_text() -> Family:
    """A ViLT of two blocks on pairs of noise and sentences of random tokens; 0 is padding."""

    def split(count: int, seed: int) -> Columns:
        draw = torch.Generator().manual_seed(seed)
        pictures = torch.randint(0, 256, (count, 2, 3, 8, 8), generator=draw).to(torch.uint8)
        tokens = torch.randint(2, 12, (count, 5), generator=draw).int()
        lengths = torch.randint(2, 6, (count,), generator=draw).int()
        inputs = {"pixel_values": pictures, "input_ids": tokens, "length": lengths}
        return Columns(inputs, torch.randint(0, 2, (count,), generator=draw), np.arange(count))

    text = TextSpec(12, 0, 5)
    expected = PairSpec(InputSpec(8, (0.5,) * 3, (0.3,) * 3), text)
    sizes = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16,
             "patch_size": 4, "initializer_range": 0.2}  # fmt: skip
    modality = ImageText("image_text", image_size=8, max_length=5)
    spec = ModelSpec(
        {"_target_": f"{NETWORKS}.vilt.from_config", "dimensions": sizes}, 2, modality.shape(expected),
        expected,
    )  # fmt: skip
    return Family(modality, spec, split(22, 0), split(6, 1), list(range(9)), list(range(9, 22)))


def labelled(inputs: dict[str, Tensor], targets: Tensor) -> Columns:
    """Columns whose targets are no classes; four strata."""
    count = len(targets)
    return Columns(inputs, targets, np.arange(count), np.arange(count) % 4)


FAMILIES: dict[str, Callable[[], Family]] = {
    "image": cache(image),
    "image_text": cache(image_text),
    "text_generation": cache(text_generation),
    "text_to_image": cache(text_to_image),
}


def family_run(method: Method, name: str, forget: list[int] | None = None) -> Run:
    """A Run of the method on a family's sets, or on other rows of D_f."""
    case = FAMILIES[name]()
    rows = {"forget": case.forget if forget is None else forget, "retain": case.retain}
    run = Run(
        case.spec.fresh(0), case.spec, case.modality, {"train": case.train},
        {part: torch.tensor(rows[part]) for part in method.reads},
        Recipe(**case.recipe, schedule="constant", optimizer=dict(ADAMW)), Engine(Trainer(device="cpu")),
        seed=3, reporter=Reporter(quiet=True),
    )  # fmt: skip
    run.hooks = method.hooks(run)
    return run
