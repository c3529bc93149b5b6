"""Errors of binary cells."""

from typing import Any

import torch
from torch import Tensor

from ..compiling import compilable

_FACTORS = 64  # sigmoids from 1/2 to 1 in a product: 2^-64 is far from underflow


@compilable
def cross_entropy(logits: Tensor, cells: Tensor) -> Tensor:
    """Binary cross-entropy in nats, summed over the cells of each window, (B,); both arguments float (B, T, 128)."""
    return _CrossEntropy.apply(logits, cells)


@compilable
def squared_error(logits: Tensor, cells: Tensor) -> Tensor:
    """Squared error of the probabilities, summed over the cells of each window, (B,); both arguments (B, T, 128)."""
    return (torch.sigmoid(logits) - cells).square().sum((1, 2))


class _CrossEntropy(torch.autograd.Function):
    """-log p(x) = max(l, 0) - x l - log sigmoid(|l|), with one logarithm for a product of sigmoids.

    Fewer passes over the cells than the library's softplus, whose exponential and logarithm of every cell took a tenth
    of a training step.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, cells: Tensor) -> Tensor:
        ctx.save_for_backward(logits, cells)
        logarithms = logits.abs().sigmoid_().unflatten(-1, (-1, _FACTORS)).prod(-1).log_().flatten(1).sum(1)
        return logits.clamp_min(0).addcmul_(logits, cells, value=-1).sum((1, 2)) - logarithms

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        logits, cells = ctx.saved_tensors
        return torch.sigmoid(logits).sub_(cells).mul_(gradient[:, None, None]), None
