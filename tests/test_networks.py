"""The small networks: shapes, gradients, seeds, fitting, and what they refuse."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mubench.errors import UsageError
from mubench.networks.resnet import SmallResNet
from mubench.networks.vit import SmallViT

SIZES = [(1, 8, 2), (1, 28, 4), (3, 32, 4)]  # channels, side, patch
Build = Callable[..., nn.Module]


def resnet(channels: int = 1, side: int = 8, patch: int = 2, **settings) -> nn.Module:
    return SmallResNet(classes=10, channels=channels, image_size=side, **settings)


def vit(channels: int = 1, side: int = 8, patch: int = 2, **settings) -> nn.Module:
    return SmallViT(10, channels, side, patch_size=patch, width=24, depth=2, heads=3, **settings)


def group(channels: int = 1, side: int = 8, patch: int = 2) -> nn.Module:
    return resnet(channels, side, norm="group")


builds = pytest.mark.parametrize("build", [resnet, group, vit])


def images(channels: int = 1, side: int = 8, count: int = 6) -> torch.Tensor:
    return torch.randn(count, channels, side, side, generator=torch.Generator().manual_seed(0))


@builds
@pytest.mark.parametrize("size", SIZES)
def test_logits_of_every_embedded_size(build: Build, size: tuple[int, int, int]) -> None:
    channels, side, _ = size
    assert build(*size)(images(channels, side)).shape == (6, 10)


@builds
def test_the_head_is_the_last_linear_layer(build: Build) -> None:
    model = build().eval()
    assert isinstance(model.head, nn.Linear) and model.head.out_features == 10
    features = []
    model.head.register_forward_hook(lambda _, inputs, __: features.append(inputs[0]))
    logits = model(images())
    torch.testing.assert_close(logits, model.head(features[0]))


@builds
@pytest.mark.parametrize("size", SIZES)
def test_every_parameter_gets_a_gradient(build: Build, size: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    model = build(*size)
    F.cross_entropy(model(images(*size[:2])), torch.arange(6)).backward()
    for name, weight in model.named_parameters():
        assert weight.grad is not None and torch.isfinite(weight.grad).all(), name
        if not name.endswith("key.bias"):  # a shift of all keys cancels in the softmax
            assert weight.grad.abs().sum() > 0, name


@builds
def test_the_seed_decides_the_weights_and_nothing_else_does(build: Build) -> None:
    weights = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        weights.append(nn.utils.parameters_to_vector(build().parameters()))
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


@builds
def test_a_tiny_batch_can_be_learnt_by_heart(build: Build) -> None:
    torch.manual_seed(0)
    model, x, y = build(), images(count=16), torch.arange(16) % 10
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    assert (model.eval()(x).argmax(1) == y).all()


@pytest.mark.parametrize("build", [group, vit])
def test_without_batch_statistics_an_example_does_not_see_the_others(build: Build) -> None:
    model, x = build(), images()
    torch.testing.assert_close(model(x)[:1], model(x[:1]), rtol=1e-4, atol=1e-5)


@builds
def test_channels_last_gives_the_same_logits(build: Build) -> None:
    model, x = build(3, 32, 4).eval(), images(3, 32)
    expected = model(x)
    model = model.to(memory_format=torch.channels_last)
    given = model(x.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(given, expected, rtol=1e-4, atol=1e-4)


def test_each_stage_halves_the_side_and_takes_the_next_width() -> None:
    model = SmallResNet(10, 3, 32, widths=[8, 16, 24, 32], blocks=2)
    x, shapes = model.stem(images(3, 32)), []
    for stage in model.stages:
        x = stage(x)
        shapes.append(tuple(x.shape[1:]))
    assert shapes == [(8, 32, 32), (16, 16, 16), (24, 8, 8), (32, 4, 4)]


def test_attention_is_the_formula() -> None:
    model = vit()
    attention, x = model.blocks[0].attention, torch.randn(2, 16, 24)
    query, key, value = (
        part(x).view(2, 16, 3, 8) for part in (attention.query, attention.key, attention.value)
    )
    weights = torch.einsum("bihd,bjhd->bhij", query, key).div(8**0.5).softmax(-1)
    mixed = torch.einsum("bhij,bjhd->bihd", weights, value).reshape(2, 16, 24)
    torch.testing.assert_close(attention(x), attention.out(mixed))


def test_a_vit_without_positions_does_not_see_the_order_of_patches() -> None:
    model, x = vit().eval(), images()
    flipped = x.flip(3)  # columns of patches swap, and so do the pixels inside: undo those
    moved = flipped.unflatten(3, (4, 2)).flip(4).flatten(3)
    assert not torch.allclose(model(x), model(moved), atol=1e-4)
    nn.init.zeros_(model.positions)
    torch.testing.assert_close(model(x), model(moved), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: vit(side=8, patch=3), "patches of 3 pixels do not divide an image of 8 pixels"),
        (lambda: SmallViT(10, 1, 8, 2, width=32, depth=1, heads=3), "3 heads do not divide"),
        (lambda: SmallViT(10, 1, 8, 0, width=32, depth=1, heads=2), "must all be positive"),
        (lambda: resnet(side=2), "halves the image 2 times: 2 pixels are too few"),
        (lambda: resnet(widths=[]), "at least one width"),
        (lambda: resnet(blocks=0), "at least one width and one block"),
        (lambda: resnet(norm="group", widths=[12, 24]), "do not divide a width of 12"),
        (lambda: resnet(norm="layer"), "is one of batch, group; not 'layer'"),
    ],
)
def test_wrong_sizes_are_refused_in_one_sentence(build: Build, message: str) -> None:
    with pytest.raises(UsageError, match=message) as refusal:
        build()
    assert "\n" not in str(refusal.value)
