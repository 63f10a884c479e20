"""Per-example gradients: those of the examples one by one, whatever the network, in parts of any size."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mubench import gradients
from mubench.data import Batch
from mubench.modalities.image import Image
from mubench.networks.resnet import SmallResNet
from mubench.networks.vit import SmallViT


def batch(count: int = 5) -> Batch:
    draw = torch.Generator().manual_seed(0)
    pixels = torch.randn(count, 1, 8, 8, generator=draw)
    return Batch({"pixel_values": pixels}, torch.arange(count) % 3, torch.arange(count))


def row(whole: Batch, at: int) -> Batch:
    return Batch({k: v[[at]] for k, v in whole.inputs.items()}, whole.targets[[at]], whole.index[[at]])


def one_by_one(model: nn.Module, whole: Batch) -> list[dict[str, torch.Tensor]]:
    names = [n for n, w in model.named_parameters() if w.requires_grad]
    found = []
    for at in range(len(whole)):
        single = row(whole, at)
        loss = Image("image").losses(Image("image").logits(model, single), single.targets).sum()
        grads = torch.autograd.grad(loss, [w for w in model.parameters() if w.requires_grad])
        found.append(dict(zip(names, grads, strict=True)))
    return found


def looking(model: SmallResNet) -> SmallResNet:
    """A network whose code looks at values: torch.func cannot map it."""
    forward = model.forward
    model.forward = lambda pixel_values: forward(pixel_values) if pixel_values.sum() < 1e9 else None
    return model


@pytest.mark.parametrize("build", [
    lambda: SmallResNet(3, 1, 8, widths=[8, 8]).double(), lambda: SmallViT(3, 1, 8).double(),
    lambda: looking(SmallResNet(3, 1, 8, widths=[8, 8]).double()),
])  # fmt: skip
@pytest.mark.parametrize("most", [1, 2, 100])
def test_they_are_those_of_each_example_alone(build, most, monkeypatch):
    torch.manual_seed(0)
    model, whole = build().eval(), batch()
    whole.inputs["pixel_values"] = whole.inputs["pixel_values"].double()
    model.head.bias.requires_grad_(False)
    size = sum(w.numel() * 8 for w in model.parameters() if w.requires_grad)
    monkeypatch.setattr(gradients, "BYTES", most * size)
    parts = list(gradients.per_example(model, Image("image"), [whole]))
    assert max(len(part["head.weight"]) for part in parts) == min(most, len(whole))
    expected = one_by_one(model, whole)
    assert "head.bias" not in parts[0]
    for name in expected[0]:
        found = torch.cat([part[name] for part in parts])
        torch.testing.assert_close(found, torch.stack([e[name] for e in expected]), rtol=1e-8, atol=1e-10)
    squares = gradients.mean(parts)
    mean = torch.stack([e["head.weight"] ** 2 for e in expected]).mean(0)
    torch.testing.assert_close(squares["head.weight"], mean, rtol=1e-8, atol=1e-12)
    assert all(w.grad is None for w in model.parameters())


def test_another_score_than_the_loss_is_differentiated():
    torch.manual_seed(0)
    model, whole = SmallResNet(3, 1, 8, widths=[8, 8]).eval(), batch()
    (part,) = gradients.per_example(model, Image("image"), [whole], lambda z, _: z.square().sum(-1))
    single = model(whole.inputs["pixel_values"][[3]]).square().sum()
    (expected,) = torch.autograd.grad(single, [model.head.weight])
    torch.testing.assert_close(part["head.weight"][3], expected)


def test_the_score_may_judge_by_other_targets_than_the_true_ones():
    torch.manual_seed(0)
    model, whole = SmallResNet(3, 1, 8, widths=[8, 8]).eval(), batch()
    (part,) = gradients.per_example(
        model, Image("image"), [whole], lambda z, b: -z.gather(1, b.targets[:, None])[:, 0],
        lambda b: (b.targets + 1) % 3,
    )  # fmt: skip
    (expected,) = torch.autograd.grad(-model(whole.inputs["pixel_values"][[3]])[0, 1], [model.head.weight])
    torch.testing.assert_close(part["head.weight"][3], expected)


@pytest.mark.parametrize("deterministic", [False, True])
def test_a_value_of_a_rank_is_that_of_the_sorted_values(deterministic):
    values = torch.randn(101, generator=torch.Generator().manual_seed(0))
    torch.use_deterministic_algorithms(deterministic)
    try:
        found = [gradients.kth_smallest(values, place) for place in (0, 50, 100)]
    finally:
        torch.use_deterministic_algorithms(False)
    assert torch.equal(torch.stack(found), values.sort().values[[0, 50, 100]])
