"""Networks of transformers: a checkpoint of the hub or a folder, or a family in any dimensions."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from functools import partial
from inspect import signature
from typing import Any

from torch import nn

from mubench.errors import UsageError
from mubench.hub import reaching

_CONFIG_NAMES = {"channels": "num_channels"}  # where transformers calls a dimension otherwise than we do
HEADS = ("classifier", "projector", "score", "head")  # parts that a new number of classes replaces


def pretrained(
    auto: str,
    classes: int,
    architecture: str,
    checkpoint: str | None,
    whole: bool = False,
    channels: int | None = None,
    image_size: int | None = None,
    num_frames: int | None = None,
    settings: Mapping[str, Any] | None = None,
    dtype: str = "float32",
    **_: int,
) -> nn.Module:
    """The weights of a checkpoint under a head for `classes`; fresh weights if there is no checkpoint.

    `auto` names a class of transformers, such as AutoModelForImageClassification; `settings` are
    further values of its config; `dtype` is that of the weights, whatever they were saved in (half
    precision is for autocast to choose). UsageError if weights other than the head's do not fit the
    architecture; if `whole`, the head's must fit too. Clips of another number or side than the
    checkpoint's fit where positions are computed, as VideoMAE's are, and not where they were learned.
    """
    from transformers import AutoConfig

    wanted = {"num_labels": classes or None, "num_channels": channels, "dtype": dtype, **(settings or {})}
    if num_frames:
        wanted |= {"num_frames": num_frames, "image_size": image_size}
    with _loading(architecture):
        changes = {name: value for name, value in wanted.items() if value is not None}
        config = AutoConfig.from_pretrained(architecture, **changes)
        if checkpoint is None:
            return at_resolution(fresh(auto, config), image_size)
        model, info = _class(auto).from_pretrained(
            checkpoint, config=config, dtype=dtype, ignore_mismatched_sizes=True, output_loading_info=True
        )
    names = [key if isinstance(key, str) else key[0] for key in info["mismatched_keys"]]
    odd = [name for name in names if not set(HEADS) & set(name.split("."))]
    if odd:
        raise UsageError(f"model '{checkpoint}': weights do not fit beyond the head: {odd[0]}")
    if whole and (lacking := [*names, *info["missing_keys"]]):
        raise UsageError(f"model '{checkpoint}' is no trained model of this task: {lacking[0]} does not fit")
    return at_resolution(model, image_size)


def from_config(
    auto: str, classes: int, family: str, dimensions: Mapping[str, Any], **shape: int
) -> nn.Module:
    """A freshly initialised network of a transformers family, of any dimensions.

    What the data decides (`shape`) is set where the family's config knows it.
    """
    from transformers import AutoConfig

    config = AutoConfig.for_model(family, **dimensions, **({"num_labels": classes} if classes else {}))
    for name, value in shape.items():
        if hasattr(config, _CONFIG_NAMES.get(name, name)):
            setattr(config, _CONFIG_NAMES.get(name, name), value)
    return fresh(auto, config)


def fresh(auto: str, config: Any) -> nn.Module:
    """The network of a config with every parameter drawn from torch's global generator."""
    kind = _class(auto)
    build = kind.from_config if auto.startswith("Auto") else kind._from_config
    model: nn.Module = build(config)
    return model


def _class(auto: str) -> Any:
    import transformers

    return getattr(transformers, auto)


def at_resolution(model: nn.Module, image_size: int | None) -> nn.Module:
    """Let a transformer take images of another side than its own, its position embeddings interpolated."""
    native = getattr(model.config, "image_size", image_size)
    if native != image_size and "interpolate_pos_encoding" in signature(model.forward).parameters:
        model.forward = partial(model.forward, interpolate_pos_encoding=True)
    return model


def _loading(checkpoint: str) -> AbstractContextManager[None]:
    return reaching(f"model '{checkpoint}' from the hub or a folder", "and pass model.checkpoint=PATH")
