"""WoodFisher: products with the inverse of a Hessian made of gradients (Singh & Alistarh, 2004.14340)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor

Parts = Callable[[], Iterator[Mapping[str, Tensor]]]  # gradients (b, *shape) of s examples, from the start


def inverse_product(parts: Parts, vector: Mapping[str, Tensor], damping: float) -> dict[str, Tensor]:
    """(damping I + mean of g g^T)^-1 v over the gradients g of s examples: the empirical Fisher's.

    By Woodbury's identity it is (v - G^T (s damping I + G G^T)^-1 G v) / damping with G (s, weights), what
    the paper's s rank-one updates arrive at. Two parts of G are in memory at a time: with k parts every
    gradient is worked out k + 2 times.
    """
    gram, along = [], []
    with torch.no_grad():
        for part in parts():
            gram.append(torch.cat([_products(part, other) for other in parts()], dim=1))
            along.append(_products(part, {name: value[None] for name, value in vector.items()}))
        system, right = torch.cat(gram).double(), torch.cat(along).double()
        system.diagonal().add_(damping * len(system))
        solved = torch.linalg.solve(system, right)[:, 0]
        result = {name: value.clone() for name, value in vector.items()}
        start = 0
        for part in parts():
            count = len(next(iter(part.values())))
            weights = solved[start : start + count]
            for name, value in result.items():
                value.sub_(torch.tensordot(weights.to(value), part[name], dims=1))
            start += count
        return {name: value.div_(damping) for name, value in result.items()}


def _products(rows: Mapping[str, Tensor], columns: Mapping[str, Tensor]) -> Tensor:
    """Inner products (b, c) of every gradient of the one part with every one of the other."""
    found = [rows[name].flatten(1) @ columns[name].flatten(1).T for name in columns]
    return torch.stack(found).sum(0)
