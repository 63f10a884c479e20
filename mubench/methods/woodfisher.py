"""WoodFisher: products with the inverse of a Hessian made of gradients (Singh & Alistarh, 2004.14340)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor

from mubench.gradients import blocks, held

Parts = Callable[[], Iterator[Mapping[str, Tensor]]]  # gradients (b, *shape) of s examples, from the start


def inverse_product(parts: Parts, vector: Mapping[str, Tensor], damping: float) -> dict[str, Tensor]:
    """(mean of g g^T + damping mean |g|^2 I)^-1 v over the gradients g of s examples.

    The mean of g g^T is the empirical Fisher's; mean |g|^2, its trace, makes the damping a pure number: the
    same for large and small losses and networks, where the paper adds one absolute number. Without any
    gradient there is no Hessian, and the product is 0.

    By Woodbury's identity it is (v - G^T (s d I + G G^T)^-1 G v) / d with G (s, weights) and d what is added
    to the diagonal: what the paper's s rank-one updates arrive at. If G is too large to be held, a block of
    its rows and a part are in memory at a time: with k blocks every gradient is worked out k + 2 times.
    """
    with torch.no_grad():
        parts = held(parts)
        gram, along = [], []
        for block in blocks(parts()):
            gram.append(torch.cat([_stacked(block, other) for other in parts()], dim=1))
            along.append(_stacked(block, {name: value[None] for name, value in vector.items()}))
        system, right = torch.cat(gram).double(), torch.cat(along).double()
        added = damping * float(system.diagonal().mean())
        if not added:
            return {name: torch.zeros_like(value) for name, value in vector.items()}
        system.diagonal().add_(added * len(system))
        solved = torch.linalg.solve(system, right)[:, 0]
        result = {name: value.clone() for name, value in vector.items()}
        start = 0
        for part in parts():
            count = len(next(iter(part.values())))
            weights = solved[start : start + count]
            for name, value in result.items():
                value.sub_(torch.tensordot(weights.to(value), part[name], dims=1))
            start += count
        return {name: value.div_(added) for name, value in result.items()}


def _stacked(block: Sequence[Mapping[str, Tensor]], columns: Mapping[str, Tensor]) -> Tensor:
    return torch.cat([_products(rows, columns) for rows in block])


def _products(rows: Mapping[str, Tensor], columns: Mapping[str, Tensor]) -> Tensor:
    """Inner products (b, c) of every gradient of the one part with every one of the other."""
    found = [rows[name].flatten(1) @ columns[name].flatten(1).T for name in columns]
    return torch.stack(found).sum(0)
