"""Sophia, clipped second-order steps (Liu et al., 2305.14342), as in SOUL (Jia et al., 2404.18239)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.optim import Optimizer

from mubench.schema import within


class Sophia(Optimizer):
    """w -= lr clip(m / max(rho h bs, eps), 1), where m and h are moving averages of g and g^2.

    m moves at every step, h at the first and then at every k-th. g is the gradient of a mean over `bs`
    examples, `batch_size` here: bs g^2 estimates the diagonal of the Gauss-Newton matrix. Weight decay is
    decoupled, as in AdamW. No weight moves by more than lr in a step.
    """

    source: ClassVar[tuple[str, ...]] = ("jia2024", "liu2023")

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float,
        betas: tuple[float, float] = (0.965, 0.99),
        rho: float = 0.04,
        k: int = 10,
        eps: float = 1e-12,
        weight_decay: float = 0.0,
        batch_size: int = 1,
    ) -> None:
        first, second = betas
        within("betas", first, 0, 1, "[)")
        within("betas", second, 0, 1, "[)")
        within("rho", rho, 0, 1e9, "(]")
        within("k", k, 1, 1e9)
        within("eps", eps, 0, 1, "(]")
        super().__init__(
            params,
            {"lr": lr, "weight_decay": weight_decay, "betas": (first, second), "scale": rho * batch_size,
             "k": k, "eps": eps, "steps": 0},
        )  # fmt: skip

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One step; there is no closure."""
        for group in self.param_groups:
            self._step([weight for weight in group["params"] if weight.grad is not None], group)
            group["steps"] += 1

    def _step(self, weights: list[Tensor], group: dict[str, Any]) -> None:
        if not weights:
            return
        gradients = [weight.grad for weight in weights if weight.grad is not None]
        m, h = self._averages(weights)
        first, second = group["betas"]
        torch._foreach_lerp_(m, gradients, 1 - first)
        if group["steps"] % group["k"] == 0:
            torch._foreach_mul_(h, second)
            torch._foreach_addcmul_(h, gradients, gradients, value=1 - second)
        scale = torch._foreach_mul(h, group["scale"])
        torch._foreach_clamp_min_(scale, group["eps"])
        move = torch._foreach_div(m, scale)
        torch._foreach_clamp_min_(move, -1.0)
        torch._foreach_clamp_max_(move, 1.0)
        torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
        torch._foreach_add_(weights, move, alpha=-group["lr"])

    def _averages(self, weights: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        for weight in weights:
            if not self.state[weight]:
                self.state[weight] |= {"m": torch.zeros_like(weight), "h": torch.zeros_like(weight)}
        return [self.state[w]["m"] for w in weights], [self.state[w]["h"] for w in weights]
