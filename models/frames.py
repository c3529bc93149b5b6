"""Convolutions over time of frames (B, T, C).

The rolls of a store and of the generators lie in memory frame by frame. The library's conv1d copies them to another
layout and back; a conv2d over one row in the format channels_last is the same sum without copies, on a CPU at up to
twice the speed.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def convolve(
    frames: Tensor, weight: Tensor, bias: Tensor | None = None, *, stride: int = 1, padding: int = 0
) -> Tensor:
    """`F.conv1d` of frames (B, T, C) with `weight` (outputs, C, taps): (B, frames, outputs)."""
    if frames.device.type != "cpu":
        return F.conv1d(frames.transpose(1, 2), weight, bias, stride, padding).transpose(1, 2)
    return _frames(F.conv2d(_one_row(frames), _of_one_row(weight), bias, (1, stride), (0, padding)))


def convolve_transposed(frames: Tensor, weight: Tensor, *, stride: int, padding: int, output_padding: int) -> Tensor:
    """`F.conv_transpose1d` of frames (B, T, C) with `weight` (C, outputs, taps): (B, frames, outputs)."""
    if frames.device.type != "cpu":
        options = None, stride, padding, output_padding
        return F.conv_transpose1d(frames.transpose(1, 2), weight, *options).transpose(1, 2)
    options = None, (1, stride), (0, padding), (0, output_padding)
    return _frames(F.conv_transpose2d(_one_row(frames), _of_one_row(weight), *options))


def _one_row(frames: Tensor) -> Tensor:
    """(B, C, 1, T)."""
    return frames.transpose(1, 2).unsqueeze(2)


def _frames(row: Tensor) -> Tensor:
    return row.squeeze(2).transpose(1, 2)


def _of_one_row(weight: Tensor) -> Tensor:
    return weight.unsqueeze(2).contiguous(memory_format=torch.channels_last)
