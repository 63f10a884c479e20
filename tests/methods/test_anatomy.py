"""Blocks, heads and convolutions of networks nobody listed by name."""

from __future__ import annotations

import torch
from families import FAMILIES
from torch import nn

from mubench import anatomy
from mubench.networks.resnet import SmallResNet
from mubench.networks.vit import SmallViT


def test_blocks_are_the_repeated_parts_in_order():
    resnet, vit = SmallResNet(10, 1, 8, blocks=2), SmallViT(10, 1, 8)
    assert [name for name, _ in anatomy.blocks(resnet)] == [
        f"stages.{a}.{b}" for a in range(3) for b in (0, 1)
    ]
    assert [name for name, _ in anatomy.blocks(vit)] == ["blocks.0", "blocks.1", "blocks.2"]
    gpt = FAMILIES["text_generation"]().spec.fresh(0)
    assert [name for name, _ in anatomy.blocks(gpt)] == ["transformer.h.0", "transformer.h.1"]


def test_a_network_without_repetition_is_its_children_or_itself():
    plain = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Conv1d(1, 1, 1))
    assert [name for name, _ in anatomy.blocks(plain)] == ["0", "2"]
    assert anatomy.blocks(plain[0])[0] == ("", plain[0])


def test_the_head_makes_the_scores():
    assert anatomy.head(SmallResNet(10, 1, 8), 10) == ["head"]
    assert anatomy.head(FAMILIES["text_generation"]().spec.fresh(0), 0) == ["lm_head"]
    assert anatomy.head(FAMILIES["text_to_image"]().spec.fresh(0), 0) == ["unet.conv_out"]


def test_weights_that_two_parts_share_are_named_once():
    gpt = FAMILIES["text_generation"]().spec.fresh(0)
    assert anatomy.weights_in(gpt, ["lm_head"]) == {"transformer.wte.weight"}
    assert anatomy.weights_in(gpt, [""]) == {name for name, _ in gpt.named_parameters()}


def test_linear_layers_stand_in_where_there_is_no_convolution():
    assert all(isinstance(m, nn.Conv2d) for _, m in anatomy.spatial(SmallResNet(10, 1, 8)))
    gpt = FAMILIES["text_generation"]().spec.fresh(0)
    assert anatomy.spatial(gpt) and all(m.weight.dim() == 2 for _, m in anatomy.spatial(gpt))
    assert torch.is_tensor(anatomy.spatial(gpt)[0][1].weight)
