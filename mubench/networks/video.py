"""Video transformers of the hub, built for the frames that the task gives."""

from __future__ import annotations

from torch import nn

from mubench.networks import pretrained as transformers_family


def pretrained(
    auto: str,
    classes: int,
    architecture: str,
    checkpoint: str | None,
    whole: bool = False,
    image_size: int | None = None,
    num_frames: int | None = None,
    **_: int,
) -> nn.Module:
    """The weights of a checkpoint under a head for `classes`; fresh weights if there is no checkpoint.

    Frames of another number or side than the checkpoint's are taken where its positions are computed,
    as VideoMAE's are; where they are learned, UsageError says that the weights do not fit. If `whole`,
    the head must fit too.
    """
    settings = {"image_size": image_size, "num_frames": num_frames}
    return transformers_family.pretrained(
        auto, classes, architecture, checkpoint, whole, image_size=image_size, settings=settings
    )
