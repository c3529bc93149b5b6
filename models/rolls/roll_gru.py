"""A GRU over piano rolls."""

from typing import Any

import torch
from torch import Tensor

from ..gru import FrameGRU
from .keys import sounding


class RollGRU(FrameGRU):
    """A `FrameGRU` over rolls, constant inputs without negative values."""

    def _gates(self, fixed: Tensor, frames: Tensor, weight: Tensor) -> Tensor:
        keys, size = sounding(frames), 3 * self.gru.hidden_size
        # In full precision under autocast, too: the gradient of the weight is summed over the frames.
        fixed, weight = (each.unflatten(0, (-1, size)) for each in (fixed.to(weight.dtype), weight[:, keys]))
        return _Gates.apply(fixed, frames[:, :, keys].transpose(0, 1).contiguous(), weight)


class _Gates(torch.autograd.Function):
    """Contributions of constants and frames to the gates of each step, (T, D, n, B), for D directions.

    `fixed` (D, n, B or 1), of the constants; `frames` (T, B, C); `weight` (D, n, C). A product for each frame, because
    that of all frames would be copied to reverse a direction, and in the derivative a sum of products of all frames
    takes less time than the products and their sum.
    """

    @staticmethod
    @torch.autocast("cpu", enabled=False)
    def forward(ctx: Any, fixed: Tensor, frames: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(frames)
        ctx.shapes = fixed.shape, weight.shape
        gates = weight.new_empty(len(frames), *fixed.shape[:2], frames.shape[1])
        fixed = fixed.expand(-1, -1, frames.shape[1])
        for rows, of_directions in zip(frames.transpose(1, 2).unbind(0), _by_frame(gates), strict=True):
            for *of_direction, contribution in zip(fixed, weight, of_directions, strict=True):
                torch.addmm(of_direction[0], of_direction[1], rows, out=contribution)
        return gates

    @staticmethod
    @torch.autocast("cpu", enabled=False)
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, Tensor]:
        (frames,), (of_fixed, of_weight) = ctx.saved_tensors, ctx.shapes
        weight = frames.new_zeros(of_weight)
        for frame, of_directions in zip(frames.unbind(0), _by_frame(gradient), strict=True):
            for total, of_direction in zip(weight, of_directions, strict=True):
                total.addmm_(of_direction, frame)
        fixed = gradient.sum((0, 3))[..., None] if of_fixed[2] == 1 else gradient.sum(0)
        return fixed, None, weight


def _by_frame(gates: Tensor) -> list[tuple[Tensor, ...]]:
    """For each frame the gates of its steps in all directions, (n, B) each."""
    directions = [steps.unbind(0) for steps in gates.unbind(1)]
    return list(zip(directions[0], *(steps[::-1] for steps in directions[1:]), strict=True))
