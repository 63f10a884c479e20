"""Sophia: its step by hand, its state, and that every method and family can be moved by it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mubench.errors import UsageError
from mubench.optimization import build_optimizer
from mubench.optimizers.sophia import Sophia
from mubench.schema import Recipe

SOPHIA = {"name": "sophia", "_target_": "mubench.optimizers.sophia.Sophia"}
GRADIENTS = np.array([[1.0, -0.2, 0.0], [0.4, 0.3, 0.0], [-2.0, 0.1, 1e-7], [0.3, -0.6, 0.0]])


def by_hand(lr, decay, rho, k, bs, betas=(0.965, 0.99), eps=1e-12):
    """The weights after each gradient, one number at a time."""
    w, m, h, seen = [0.5, -1.0, 2.0], [0.0] * 3, [0.0] * 3, []
    for step, gradient in enumerate(GRADIENTS):
        for i, g in enumerate(gradient):
            m[i] = betas[0] * m[i] + (1 - betas[0]) * g
            if step % k == 0:
                h[i] = betas[1] * h[i] + (1 - betas[1]) * g * g
            move = m[i] / max(rho * h[i] * bs, eps)
            w[i] = w[i] * (1 - lr * decay) - lr * min(1.0, max(-1.0, move))
        seen.append(list(w))
    return np.array(seen)


def start() -> torch.Tensor:
    return torch.tensor([0.5, -1.0, 2.0], dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("rho", [0.04, 3.0])
def test_four_steps_by_hand(k, rho):
    """m moves once a step, h every k-th from the first; some elements are clipped, some are not."""
    weight = start()
    sophia = Sophia([weight], lr=0.1, rho=rho, k=k, weight_decay=0.5, batch_size=8)
    expected = by_hand(0.1, 0.5, rho, k, 8)
    for gradient, wanted in zip(GRADIENTS, expected, strict=True):
        weight.grad = torch.from_numpy(gradient.copy())
        sophia.step()
        np.testing.assert_allclose(weight.detach().numpy(), wanted, rtol=0, atol=1e-12)
    assert not np.allclose(by_hand(0.1, 0.5, 3.0, 1, 8), by_hand(0.1, 0.5, 3.0, 2, 8))


def test_no_weight_moves_by_more_than_the_learning_rate():
    weight = start()
    sophia = Sophia([weight], lr=0.1)
    weight.grad = torch.tensor([1e9, -1e-9, 0.0], dtype=torch.float64)
    before = weight.detach().clone()
    sophia.step()
    moved = (weight.detach() - before).abs()
    assert (moved <= 0.1 + 1e-12).all() and moved[2] == 0


def test_its_state_goes_through_a_file_and_goes_on_to_the_same_bits(tmp_path):
    def walk(weight, sophia, gradients):
        for gradient in gradients:
            weight.grad = torch.from_numpy(gradient.copy())
            sophia.step()

    whole, cut = start(), start()
    settings = {"lr": 0.1, "k": 2, "rho": 3.0, "weight_decay": 0.1}
    walk(whole, Sophia([whole], **settings), GRADIENTS)
    first = Sophia([cut], **settings)
    walk(cut, first, GRADIENTS[:1])
    torch.save(first.state_dict(), tmp_path / "state.pt")
    second = Sophia([cut], **settings)
    second.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    walk(cut, second, GRADIENTS[1:])
    assert torch.equal(whole, cut)


def test_a_weight_without_gradient_rests():
    still, moving = start(), start()
    sophia = Sophia([still, moving], lr=0.1, weight_decay=0.1)
    moving.grad = torch.ones(3, dtype=torch.float64)
    sophia.step()
    assert torch.equal(still, start()) and not torch.equal(moving, start())


def test_the_recipe_tells_it_the_batch_size_of_a_step():
    recipe = Recipe(batch_size=16, accumulate=2, optimizer={**SOPHIA, "rho": 0.5})
    (group,) = build_optimizer([start()], recipe).param_groups
    assert group["scale"] == 0.5 * 32


@pytest.mark.parametrize("kind", ["AdamW", "SGD", "RMSprop"])
def test_an_optimizer_with_or_without_a_fused_form_is_built(kind):
    build_optimizer([start()], Recipe(optimizer={"name": "x", "_target_": f"torch.optim.{kind}"}))


@pytest.mark.parametrize(
    "setting", [{"rho": 0}, {"k": 0}, {"betas": [1.0, 0.9]}, {"betas": [0.9]}, {"eps": 0}]
)
def test_wrong_settings_are_refused(setting):
    with pytest.raises(UsageError, match="optimizer 'sophia': "):
        build_optimizer([start()], Recipe(optimizer={**SOPHIA, **setting}))
