"""CODEC and FOCI: dependence on variables, given others, by neighbours (Azadkia & Chatterjee, 1910.12327)."""

from __future__ import annotations

import torch
from torch import Tensor

CELLS = 2**24  # distances in memory at a time, if one variable's are no more


def codec(target: Tensor, candidates: Tensor, given: Tensor) -> Tensor:
    """T(Y, Z | X) of each candidate Z: 0 if Y is independent of Z given X, 1 if a function of both.

    Y (n,), Z's (n, L), X (n, S) where S may be 0; (L,). With R_i = #{j: Y_j <= Y_i}, L_i = #{j: Y_j >= Y_i}
    and N(i), M(i) the nearest neighbours of i by X and by (X, Z), T is
    sum (min(R_i, R_M(i)) - min(R_i, R_N(i))) / sum (R_i - min(R_i, R_N(i))), and without X
    sum (n min(R_i, R_M(i)) - L_i^2) / sum L_i (n - L_i). Of equally near neighbours the first counts.
    NaN where Y is no variable, or a function of X already.
    """
    below = (target[None, :] <= target[:, None]).sum(1)  # R
    apart = _distances(given)
    near = torch.minimum(below, below[_nearest(apart, candidates)])  # (L, n)
    count = len(target)
    if given.shape[1]:
        alone = torch.minimum(below, below[apart.fill_diagonal_(torch.inf).argmin(1)])
        return (near - alone).sum(1) / (below - alone).sum()
    above = (target[None, :] >= target[:, None]).sum(1)  # L
    return (count * near - above**2).sum(1) / (above * (count - above)).sum()


def foci(target: Tensor, candidates: Tensor, most: int) -> list[int]:
    """Candidates (n, L) that the target (n,) depends on, given those chosen before, at most so many.

    The first is the one with the largest T; others follow as long as T is above 0. Candidates are
    standardised, as in the authors' code; those that do not vary are left out.
    """
    deviation = candidates.std(0)
    varied = (deviation > 0).nonzero().flatten()
    scaled = (candidates[:, varied] - candidates[:, varied].mean(0)) / deviation[varied]
    chosen: list[int] = []
    while len(chosen) < min(most, len(varied)):
        found = codec(target, scaled, scaled[:, chosen]).nan_to_num(-torch.inf)
        found[chosen] = -torch.inf
        best = int(found.argmax())
        if found[best] == -torch.inf or (chosen and found[best] <= 0):
            break
        chosen.append(best)
    return varied[chosen].tolist()


def _distances(points: Tensor) -> Tensor:
    """Squared distances (n, n) of points (n, S)."""
    return (points[:, None] - points[None]).square().sum(-1)


def _nearest(apart: Tensor, candidates: Tensor) -> Tensor:
    """The nearest other point (L, n) by distances (n, n), to which each candidate (n, L) adds its own."""
    found = []
    for part in candidates.T.split(max(1, CELLS // apart.numel())):
        whole = apart + (part[:, :, None] - part[:, None, :]).square()
        whole.diagonal(dim1=1, dim2=2).fill_(torch.inf)
        found.append(whole.argmin(2))
    return torch.cat(found)
