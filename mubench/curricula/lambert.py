"""Lambert's W, in torch and on any device: SciPy has it, but only on the host and in double precision."""

from __future__ import annotations

import math

import torch
from torch import Tensor

# 1/e = _HIGH + _LOW, where _HIGH has the 24 bits of a float32: x + _HIGH is exact near the branch point,
# where W changes by the square root of any error.
_HIGH = round(2**25 / math.e) / 2**25
_LOW = 1 / math.e - _HIGH
_STEPS = 6  # of Newton's method; it doubles the right digits, of which the start has at least one


def lambert_w(x: Tensor) -> Tensor:
    """W(x) of x = W e^W for real x >= -1/e, the branch with W >= -1; smaller x count as -1/e.

    To 1e-6 of max(1, |W|) in float32 and float64. Without gradient.
    """
    x = x.detach()
    return torch.where(x < 1, _small(x.clamp_max(1)), _large(x.clamp_min(1)))


def _small(x: Tensor) -> Tensor:
    """For -1/e <= x <= 1: Newton's method on u = W + 1, of which u + (u - 1)(e^u - 1) = e x + 1.

    Written so, nothing cancels: u is right to the last digits even where it is nearly 0.
    """
    q = math.e * ((x + _HIGH) + _LOW).clamp_min(0)
    p = (2 * q).sqrt()
    u, tiny = p / (1 + p / 3), torch.finfo(x.dtype).tiny
    for _ in range(_STEPS):
        excess = u + (u - 1) * u.expm1() - q
        u = u - excess / (u * u.exp()).clamp_min(tiny)
    return u - 1


def _large(x: Tensor) -> Tensor:
    """For x >= 1: Newton's method on w + log w = log x, whose terms never overflow (Iacono & Boyd, 2017)."""
    log = x.log()
    w = (1 + x).log()
    w = w * (1 - w.log1p() / (2 + w))  # Winitzki's start, right to a few percent everywhere
    for _ in range(_STEPS):
        w = w / (1 + w) * (1 + log - w.log())
    return w
