"""Small vision transformers (Dosovitskiy et al., 2021) with mean pooling (Beyer et al., 2022)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mubench.errors import UsageError


class Attention(nn.Module):
    """Multi-head self-attention (Vaswani et al., 2017)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key = nn.Linear(width, width), nn.Linear(width, width)
        self.value, self.out = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, width) to the same shape."""
        parts = (self.query(x), self.key(x), self.value(x))
        query, key, value = (part.unflatten(2, (self.heads, -1)).transpose(1, 2) for part in parts)
        mixed = F.scaled_dot_product_attention(query, key, value)  # (B, heads, T, width / heads)
        result: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return result


class Block(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x))."""

    def __init__(self, width: int, heads: int, ratio: int) -> None:
        super().__init__()
        self.norm1, self.attention = nn.LayerNorm(width), Attention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, ratio * width), nn.GELU(), nn.Linear(ratio * width, width))

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, width) to the same shape."""
        x = x + self.attention(self.norm1(x))
        result: Tensor = x + self.mlp(self.norm2(x))
        return result


class SmallViT(nn.Module):
    """Patches as tokens with learned positions, pre-norm blocks, mean over the tokens, a linear head."""

    def __init__(
        self,
        classes: int,
        channels: int,
        image_size: int,
        patch_size: int = 2,
        width: int = 48,
        depth: int = 3,
        heads: int = 3,
        mlp_ratio: int = 4,  # hidden width of the mlp, in widths
    ) -> None:
        super().__init__()
        check(image_size, patch_size, width, depth, heads)
        tokens = (image_size // patch_size) ** 2
        self.patches = nn.Conv2d(channels, width, patch_size, patch_size)
        self.positions = nn.Parameter(torch.empty(1, tokens, width))
        self.blocks = nn.Sequential(*(Block(width, heads, mlp_ratio) for _ in range(depth)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, classes)
        nn.init.normal_(self.positions, std=0.02)
        self.apply(initialise)

    def forward(self, pixel_values: Tensor) -> Tensor:
        """Logits (B, C) of images (B, channels, image_size, image_size)."""
        tokens = self.patches(pixel_values).flatten(2).transpose(1, 2)  # (B, T, width)
        tokens = self.norm(self.blocks(tokens + self.positions))
        logits: Tensor = self.head(tokens.mean(dim=1))
        return logits


def check(image_size: int, patch_size: int, width: int, depth: int, heads: int) -> None:
    """UsageError unless the sizes make a network."""
    if min(image_size, patch_size, width, depth, heads) < 1:
        raise UsageError("SmallViT: image, patch, width, depth and heads must all be positive")
    if image_size % patch_size:
        raise UsageError(
            f"SmallViT: patches of {patch_size} pixels do not divide an image of {image_size} pixels"
        )
    if width % heads:
        raise UsageError(f"SmallViT: {heads} heads do not divide a width of {width}")


def initialise(module: nn.Module) -> None:
    """The start of one module, drawn from torch's global generator: Glorot & Bengio (2010), biases 0."""
    if isinstance(module, nn.Linear | nn.Conv2d) and module.bias is not None:
        nn.init.xavier_uniform_(module.weight.flatten(1))  # one matrix reads a patch
        nn.init.zeros_(module.bias)
