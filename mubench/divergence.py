"""Divergences between the predictions of two models, per example."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def kl(teacher: Tensor, student: Tensor, temperature: float = 1.0) -> Tensor:
    """KL(p_teacher || p_student) of softmax(logits / temperature), in nats, at least 0.

    Logits (B, C) give (B,); the teacher is a constant. 0 with zero gradient where both agree.
    """
    p = F.log_softmax(teacher.detach().float() / temperature, dim=-1)
    q = F.log_softmax(student.float() / temperature, dim=-1)
    return (p.exp() * (p - q)).sum(-1).clamp_min(0)  # rounding may leave -1e-22
