"""What a run works with, laid out by hand: a tiny network, its data, where D_f is."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from families import FAMILIES
from tiny import ADAMW, LABELS, PIXELS, SGD, START, columns
from torch import nn

from mubench.adapters.base import NoAdapter
from mubench.attacks.base import Target
from mubench.curricula.base import Uniform
from mubench.data import Columns, ForgetSplit
from mubench.engine import Engine
from mubench.modalities.image import Image, InputSpec
from mubench.models import ModelSpec
from mubench.progress import Reporter
from mubench.schema import Evaluation, Recipe, Seeds, Trainer
from mubench.workbench import Workbench

FORGET, RETAIN = [1, 4], [0, 2, 3, 5]


def bench_of(
    spec: ModelSpec, modality: Any, splits: dict[str, Columns], forget, retain, **recipe
) -> Workbench:
    settings = SimpleNamespace(
        evaluation=Evaluation(batch_size=5), seed=Seeds(), training=Recipe(**recipe), task={}
    )
    resolved = {"modality": {}, "training": {}}
    config = SimpleNamespace(settings=settings, resolved=resolved)
    data = SimpleNamespace(facts={"identity": "by hand"})
    split = ForgetSplit(np.array(forget), np.array(retain), "file", 10.0, "0" * 64)
    return Workbench(
        config, data, splits, split, spec, modality, NoAdapter("none"), Uniform("none"),
        Engine(Trainer(device="cpu")), Reporter(quiet=True),
    )  # fmt: skip


def family_bench(name: str) -> Workbench:
    """A family's problem; its validation rows are the test set."""
    case = FAMILIES[name]()
    recipe = {**case.recipe, "optimizer": dict(ADAMW)}
    splits = {"train": _stored(case.train), "test": _stored(case.validation)}
    return bench_of(case.spec, case.modality, splits, case.forget, case.retain, **recipe)


def _stored(columns: Columns) -> Columns:
    """Texts with a column that only predictions read."""
    more = {"compressed": torch.full((len(columns),), 9, dtype=torch.int32)}
    return replace(columns, inputs={**columns.inputs, **(more if "prompt_ids" in columns.inputs else {})})


def target_of(bench: Workbench, role: str = "unlearned") -> Target:
    """Three networks that differ in their seeds, one of them under attack."""
    networks: dict[str, nn.Module] = {
        name: bench.spec.fresh(seed).eval()
        for seed, name in enumerate(("original", "retrained", "unlearned"))
    }
    others = {name: networks[name] for name in ("original", "retrained")}
    return Target(bench, role, networks[role], others)


def linear_target() -> Target:
    """Scores W x with W = START in float64, four pixels, three classes; plain gradient descent."""
    spec = ModelSpec(
        {"_target_": "tiny.Linear"}, 3, {"channels": 1, "image_size": 2}, InputSpec(2, (0.0,), (1.0,))
    )
    splits = {"train": columns(), "test": columns(PIXELS[::-1].copy(), LABELS[::-1].copy())}
    bench = bench_of(spec, Image("image"), splits, FORGET, RETAIN, optimizer=dict(SGD), clip=None)
    target = target_of(bench)
    with torch.no_grad():
        target.network.weight.copy_(torch.from_numpy(START))
    return target
