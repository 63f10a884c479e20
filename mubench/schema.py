"""The settings of one run, typed: what a composed config must hold, and what its values may be."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from mubench.errors import UsageError, did_you_mean


def within(name: str, value: float, low: float, high: float, closed: str = "[]") -> None:
    """UsageError unless value lies in the interval; `closed` gives its brackets, such as '(]'."""
    above = value >= low if closed[0] == "[" else value > low
    below = value <= high if closed[1] == "]" else value < high
    if not (above and below):
        raise UsageError(f"{name} must lie in {closed[0]}{low:g}, {high:g}{closed[1]}, not {value:g}")


def one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    """UsageError unless value is one of the allowed words."""
    if value not in allowed:
        hint = did_you_mean(value, allowed)
        raise UsageError(f"{name} is one of {', '.join(allowed)}; not '{value}'.{hint}")


@dataclass
class Seeds:
    """Seeds at their levels: what is deleted, the original and retrained models, the method, scores."""

    forget: int = 42
    train: int = 42
    unlearn: int = 42
    eval: int = 42


@dataclass
class Recipe:
    """How a model is trained: shared by originals and retrained models, and by the methods."""

    epochs: int = 10
    batch_size: int = 32
    lr: float = 5e-5
    weight_decay: float = 0.0
    schedule: str = "linear"  # of the learning rate after the warm-up: constant | linear | cosine
    warmup: float = 0.0  # share of the steps
    clip: float | None = 1.0  # largest norm of the gradient; null: no clipping
    accumulate: int = 1  # batches per optimizer step
    optimizer: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        within("epochs", self.epochs, 0, 1e6)
        within("batch_size", self.batch_size, 1, 1e7)
        within("accumulate", self.accumulate, 1, 1e6)
        within("lr", self.lr, 0, 1e3, "(]")
        within("weight_decay", self.weight_decay, 0, 1e3)
        within("warmup", self.warmup, 0, 1)
        one_of("schedule", self.schedule, ("constant", "linear", "cosine"))
        if self.clip is not None:
            within("clip", self.clip, 0, 1e9, "(]")


@dataclass
class Trainer:
    """The engine: where and how exactly a recipe is carried out."""

    device: str = "auto"  # auto | cpu | cuda
    precision: str = "auto"  # auto: bf16 where the GPU has it, else fp32
    deterministic: str = "off"  # off | warn | error: torch's deterministic algorithms
    compile: bool = False
    residency: str = "auto"  # where a split lives: auto | device | host
    threads: int | None = None  # null: what the process may really use
    checkpoint_minutes: float = 10.0  # resumable checkpoints of a longer training
    at_once: int | None = None  # shadow models trained side by side, at most; null: as many as is fastest

    def __post_init__(self) -> None:
        one_of("trainer.device", self.device, ("auto", "cpu", "cuda"))
        one_of("trainer.precision", self.precision, ("auto", "fp32", "bf16"))
        one_of("trainer.deterministic", self.deterministic, ("off", "warn", "error"))
        one_of("trainer.residency", self.residency, ("auto", "device", "host"))
        within("trainer.checkpoint_minutes", self.checkpoint_minutes, 0, 1e6)
        if self.threads is not None:
            within("trainer.threads", self.threads, 1, 4096)
        if self.at_once is not None:
            within("trainer.at_once", self.at_once, 1, 10_000)


@dataclass
class Evaluation:
    """What is measured, and whether a model retrained on D_r is the reference."""

    name: str = "standard"
    metrics: list[str] = field(default_factory=lambda: ["all"])
    reference: str = "retrain"  # retrain | cached: use one if it is there | none
    batch_size: int = 512
    retain_sample: int | None = None  # score a fixed random sample of D_r; null: all of it
    generate: int = 256  # examples a split for which texts or pictures are made: a fixed sample
    attacks: dict[str, Any] = field(default_factory=dict)  # on the forgetting, by name: component nodes

    def __post_init__(self) -> None:
        one_of("evaluation.reference", self.reference, ("retrain", "cached", "none"))
        within("evaluation.batch_size", self.batch_size, 1, 1e7)
        within("evaluation.generate", self.generate, 1, 1e9)
        if self.retain_sample is not None:
            within("evaluation.retain_sample", self.retain_sample, 1, 1e12)


@dataclass
class Settings:
    """One run. The component nodes are checked against the classes that their `_target_` names."""

    task: dict[str, Any]
    modality: dict[str, Any]
    model: dict[str, Any]
    deletion: dict[str, Any]
    method: dict[str, Any]
    adapter: dict[str, Any]
    curriculum: dict[str, Any]
    optimizer: dict[str, Any]
    training: Recipe
    unlearning: Recipe
    trainer: Trainer
    evaluation: Evaluation
    seed: Seeds
    tracking: dict[str, Any]
    search: dict[str, Any] = field(default_factory=dict)  # setting: the values that a search tries
    shadows: int = 0  # originals, and retrained models, at as many other training seeds
    original: str | None = None  # hub id or folder: a published original, taken instead of training one
    out: str = "outputs"
    force: bool = False
    save_model: bool = False

    def __post_init__(self) -> None:
        within("shadows", self.shadows, 0, 10_000)
