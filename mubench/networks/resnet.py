"""Small residual networks (He et al., 2016) in the form for small images: a 3x3 stem, no pooling in front."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from mubench.errors import UsageError
from mubench.schema import one_of

GROUP = 8  # channels of a group in group normalisation


class Block(nn.Module):
    """relu(x + norm(conv(relu(norm(conv(x)))))); a 1x1 projection of x where its shape changes."""

    def __init__(self, inside: int, outside: int, stride: int, norm: str) -> None:
        super().__init__()
        self.conv1, self.norm1 = conv(inside, outside, stride), normalisation(norm, outside)
        self.conv2, self.norm2 = conv(outside, outside), normalisation(norm, outside)
        self.shortcut = nn.Sequential()
        if stride != 1 or inside != outside:
            self.shortcut.append(conv(inside, outside, stride, side=1))
            self.shortcut.append(normalisation(norm, outside))

    def forward(self, x: Tensor) -> Tensor:
        """(B, inside, H, W) to (B, outside, H / stride, W / stride)."""
        out = F.relu(self.norm1(self.conv1(x)))
        out = self.norm2(self.conv2(out))
        return F.relu(out + self.shortcut(x))


class SmallResNet(nn.Module):
    """A stem, one stage of residual blocks for each width, mean over the pixels, a linear head.

    Each stage after the first halves the side. Convolutions start as He et al. (2015) derive for
    rectifiers, the head as torch starts a linear layer.
    """

    def __init__(
        self,
        classes: int,
        channels: int,
        image_size: int,
        widths: Sequence[int] = (16, 32, 64),
        blocks: int = 1,  # per stage
        norm: str = "batch",  # batch | group: independent of the other examples of a batch
    ) -> None:
        super().__init__()
        check(image_size, widths, blocks, norm)
        self.stem, self.norm = conv(channels, widths[0]), normalisation(norm, widths[0])
        stages = [stage(widths[0], widths[0], 1, blocks, norm)]
        stages += [stage(inside, outside, 2, blocks, norm) for inside, outside in pairwise(widths)]
        self.stages = nn.Sequential(*stages)
        self.head = nn.Linear(widths[-1], classes)
        self.apply(initialise)

    def forward(self, pixel_values: Tensor) -> Tensor:
        """Logits (B, C) of images (B, channels, H, W)."""
        x = F.relu(self.norm(self.stem(pixel_values)))
        logits: Tensor = self.head(self.stages(x).mean(dim=(2, 3)))
        return logits


def check(image_size: int, widths: Sequence[int], blocks: int, norm: str) -> None:
    """UsageError unless the sizes make a network."""
    one_of("model.build.norm", norm, ("batch", "group"))
    if not widths or min(widths) < 1 or blocks < 1:
        raise UsageError("SmallResNet needs at least one width and one block, all of them positive")
    if image_size < 2 ** (len(widths) - 1):
        raise UsageError(
            f"SmallResNet halves the image {len(widths) - 1} times: {image_size} pixels are too few"
        )
    odd = next((width for width in widths if width % GROUP), None)
    if norm == "group" and odd is not None:
        raise UsageError(f"SmallResNet: groups of {GROUP} channels do not divide a width of {odd}")


def stage(inside: int, outside: int, stride: int, blocks: int, norm: str) -> nn.Sequential:
    """Residual blocks of one width, the first of which may halve the side."""
    first = Block(inside, outside, stride, norm)
    return nn.Sequential(first, *(Block(outside, outside, 1, norm) for _ in range(blocks - 1)))


def conv(inside: int, outside: int, stride: int = 1, side: int = 3) -> nn.Conv2d:
    """A convolution that keeps the side at stride 1; no bias, since a normalisation follows."""
    return nn.Conv2d(inside, outside, side, stride, padding=side // 2, bias=False)


def normalisation(kind: str, width: int) -> nn.Module:
    """Over the batch (Ioffe & Szegedy, 2015), or within groups of channels (Wu & He, 2018)."""
    return nn.BatchNorm2d(width) if kind == "batch" else nn.GroupNorm(width // GROUP, width)


def initialise(module: nn.Module) -> None:
    """The start of one module, drawn from torch's global generator."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
