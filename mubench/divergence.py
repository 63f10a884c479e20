"""Divergences between the predictions of two models, per example."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

VALUES = 2**25  # probabilities that are looked at together


def precise(values: Tensor) -> Tensor:
    """In single precision at least: half precision is for a model's own arithmetic."""
    return values if values.dtype == torch.float64 else values.float()


def kl(teacher: Tensor, student: Tensor, temperature: float = 1.0) -> Tensor:
    """KL(p_teacher || p_student) of softmax(logits / temperature), in nats, at least 0.

    Logits (B, C) give (B,); the teacher is a constant, and may rule classes out by -inf. 0 with zero
    gradient where both agree.
    """
    p = F.log_softmax(precise(teacher.detach()) / temperature, dim=-1)
    p = p.clamp_min(torch.finfo(p.dtype).min)  # finite, so that 0 log 0 is 0
    q = F.log_softmax(precise(student) / temperature, dim=-1)
    return (p.exp() * (p - q)).sum(-1).clamp_min(0)  # rounding may leave -1e-22


def entropy(scores: Tensor) -> Tensor:
    """Entropy (...) of softmax(scores) of scores (..., C), in nats."""
    log_p = F.log_softmax(precise(scores), dim=-1)
    return -(log_p.exp() * log_p).sum(-1)


def log_prob_moments(scores: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of the log-probability of a token that the scores themselves draw.

    Scores (B, T, C) give (B, T) each, in nats, 0 where `labels` (B, T) is false. Some places at a time:
    the values of a whole vocabulary are many. From the mean, since E x^2 - (E x)^2 cancels where one
    token is nearly sure.
    """
    mean = torch.zeros(labels.shape, device=scores.device, dtype=precise(scores[:0]).dtype)
    deviation = torch.zeros_like(mean)
    for places in labels.nonzero().split(max(1, VALUES // scores.shape[-1])):
        at = tuple(places.T)
        log_p = F.log_softmax(precise(scores[at]), dim=-1).clamp_min(torch.finfo(mean.dtype).min)
        p = log_p.exp()
        found = (p * log_p).sum(-1, keepdim=True)
        mean[at] = found[:, 0]
        deviation[at] = (p * (log_p - found).where(p > 0, 0.0).square()).sum(-1).sqrt()
    return mean, deviation


def kl_of_tokens(teacher: Tensor, student: Tensor, labels: Tensor, temperature: float = 1.0) -> Tensor:
    """The mean of `kl` over the label tokens of each example, (B,); 0 where it has none.

    Logits (B, T, C); `labels` (B, T) is true where a token counts: only there anything is computed.
    """
    rows = labels.nonzero()[:, 0]
    found = kl(teacher[labels], student[labels], temperature)
    total = torch.zeros(len(labels), device=found.device, dtype=found.dtype).index_add(0, rows, found)
    return total / labels.sum(dim=1).clamp_min(1)


def lowered(scores: Tensor, labels: Tensor, by: float) -> Tensor:
    """Scores (..., C) with `by` taken from that of each label (...); -inf there if `by` is inf."""
    own = labels[..., None]
    return scores.scatter(-1, own, scores.gather(-1, own) - by)


def signed_roots(logits: Tensor, generator: torch.Generator) -> Tensor:
    """sqrt(p) of softmax(logits) of scores (..., C), each of a random sign drawn on the CPU."""
    p = precise(logits.detach()).softmax(-1)
    signs = torch.randint(2, p.shape, generator=generator).mul_(2).sub_(1)
    return p.sqrt() * signs.to(p)


def weighted_log_probability(logits: Tensor, weights: Tensor) -> Tensor:
    """The sum (...) of weights (..., C) times log softmax(logits); a class ruled out by -inf counts 0."""
    log_p = F.log_softmax(precise(logits), dim=-1)
    return (weights * log_p.clamp_min(torch.finfo(log_p.dtype).min)).sum(-1)
