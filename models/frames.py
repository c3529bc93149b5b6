"""Convolutions over time of frames (B, T, C), each with its neighbours to both sides; silence before and after.

The rolls of a store and of the generators lie in memory frame by frame. The library's conv1d copies them to another
layout and back. A conv2d over one row in the format channels_last is the same sum without copies, and matrix products
have its gradients: on a CPU at twice the speed of the library's.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .gru import product_type


class Convolution(nn.Conv1d):
    """`nn.Conv1d` over frames (B, T, inputs): (B, T / stride, outputs), by `convolve`."""

    def __init__(self, inputs: int, outputs: int, taps: int, stride: int = 1) -> None:
        super().__init__(inputs, outputs, taps, stride)

    def forward(self, frames: Tensor) -> Tensor:
        return convolve(frames, self.weight, self.bias, self.stride[0])


def normalise(frames: Tensor, n_groups: int) -> Tensor:
    """`F.group_norm` of frames (B, T, C)."""
    return F.group_norm(frames.transpose(1, 2).unsqueeze(2), n_groups).squeeze(2).transpose(1, 2)


def convolve(frames: Tensor, weight: Tensor, bias: Tensor | None = None, stride: int = 1) -> Tensor:
    """`F.conv1d` of frames (B, T, C) with `weight` (outputs, C, taps): (B, T / stride, outputs).

    T is a multiple of the stride, which is at most the number of taps.
    """
    if frames.device.type != "cpu":
        return convolve_by_library(frames, weight, bias, stride)
    products = product_type(frames)
    convolved = _Convolution.apply(frames.to(products), weight.to(products), stride)
    return convolved if bias is None else convolved + bias.to(products)


def convolve_transposed(frames: Tensor, weight: Tensor, stride: int = 1) -> Tensor:
    """The transpose of `convolve`: (B, T, outputs) to (B, T * stride, C)."""
    if frames.device.type != "cpu":
        return convolve_transposed_by_library(frames, weight, stride)
    products = product_type(frames)
    return _Transposed.apply(frames.to(products), weight.to(products), stride)


def quadratic_form(frames: Tensor, weight: Tensor) -> Tensor:
    """Sum over frames of g_i^T K g for `frames` g (B, T, C), with K g their convolution with `weight` (C, C, taps).

    K is symmetric: the filter for the frames i and j is the transpose of that for j and i. Returns (B,), in float32 or
    more.
    """
    if frames.device.type != "cpu":
        return quadratic_form_by_library(frames, weight)
    products = product_type(frames)
    return _QuadraticForm.apply(frames.to(products), weight.to(products))


def _sum_of_products(frames: Tensor, others: Tensor) -> Tensor:
    wide = torch.promote_types(frames.dtype, torch.float32)  # in bfloat16 sums of squares would lose their differences
    return (frames.to(wide) * others.to(wide)).sum((1, 2))


def convolve_by_library(frames: Tensor, weight: Tensor, bias: Tensor | None = None, stride: int = 1) -> Tensor:
    """`convolve` on other devices than CPUs."""
    return F.conv1d(frames.transpose(1, 2), weight, bias, stride, _padding(weight, stride)).transpose(1, 2)


def convolve_transposed_by_library(frames: Tensor, weight: Tensor, stride: int = 1) -> Tensor:
    """`convolve_transposed` on other devices than CPUs."""
    padding = _padding(weight, stride)
    after_end = stride + 2 * padding - weight.shape[2]
    return F.conv_transpose1d(frames.transpose(1, 2), weight, None, stride, padding, after_end).transpose(1, 2)


def quadratic_form_by_library(frames: Tensor, weight: Tensor) -> Tensor:
    """`quadratic_form` on other devices than CPUs."""
    return _sum_of_products(frames, convolve_by_library(frames, weight))


def _padding(weight: Tensor, stride: int) -> int:
    """Silent frames before the first that are seen by the first output."""
    return (weight.shape[2] - stride + 1) // 2


class _Convolution(torch.autograd.Function):
    """Differentiable any number of times: its gradients are its transpose and a matrix product."""

    @staticmethod
    def forward(ctx: Any, frames: Tensor, weight: Tensor, stride: int) -> Tensor:
        ctx.save_for_backward(frames, weight)
        ctx.stride = stride
        return _in_channels_last(frames, weight, stride)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        frames, weight = ctx.saved_tensors
        of_frames, of_weight, _ = ctx.needs_input_grad
        return (
            _Transposed.apply(gradient, weight, ctx.stride) if of_frames else None,
            _gradient_of_weight(frames, gradient, weight, ctx.stride) if of_weight else None,
            None,
        )


def _in_channels_last(frames: Tensor, weight: Tensor, stride: int) -> Tensor:
    row, filters = frames.transpose(1, 2).unsqueeze(2), weight.unsqueeze(2)
    filters = filters.contiguous(memory_format=torch.channels_last)
    return F.conv2d(row, filters, None, (1, stride), (0, _padding(weight, stride))).squeeze(2).transpose(1, 2)


class _Transposed(torch.autograd.Function):
    """The transpose of `_Convolution`."""

    @staticmethod
    def forward(ctx: Any, frames: Tensor, weight: Tensor, stride: int) -> Tensor:
        ctx.save_for_backward(frames, weight)
        ctx.stride = stride
        batch, n, _ = frames.shape
        groups = frames.new_empty(batch, n, stride * weight.shape[1])
        for offset, taps, columns in _groups(weight, stride, n):
            factors = weight[:, :, taps].transpose(1, 2).flatten(1)  # (outputs, taps * C)
            (source, target), across = _pairs(frames, groups[:, :, columns], offset)
            target.addmm_(source, factors, beta=1 if offset else 0)
            if across:
                source, target = across
                target.sub_((source.flatten(0, 1) @ factors).view_as(target))
        return groups.view(batch, n * stride, -1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        frames, weight = ctx.saved_tensors
        of_frames, of_weight, _ = ctx.needs_input_grad
        return (
            _Convolution.apply(gradient, weight, ctx.stride) if of_frames else None,
            _gradient_of_weight(gradient, frames, weight, ctx.stride) if of_weight else None,
            None,
        )


class _QuadraticForm(torch.autograd.Function):
    """Its gradient is twice the convolution, and the sums of products of frames at each distance."""

    @staticmethod
    def forward(ctx: Any, frames: Tensor, weight: Tensor) -> Tensor:
        convolved = _in_channels_last(frames, weight, 1)
        ctx.save_for_backward(frames, convolved, weight)
        return _sum_of_products(frames, convolved)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        frames, convolved, weight = ctx.saved_tensors
        factors = gradient[:, None, None].to(frames.dtype)
        return convolved * (2 * factors), _gradient_of_weight(frames, frames * factors, weight, 1)


def _gradient_of_weight(frames: Tensor, outputs: Tensor, weight: Tensor, stride: int) -> Tensor:
    """The gradient of a convolution's `weight`, from its input and the gradient of its output."""
    groups = frames.unflatten(1, (-1, stride)).flatten(2)  # (B, T / stride, stride * C)
    gradient = torch.zeros_like(weight.transpose(1, 2))  # (outputs, taps, C)
    for offset, taps, columns in _groups(weight, stride, groups.shape[1]):
        (first, second), across = _pairs(outputs, groups[:, :, columns], offset)
        product = first.t() @ second
        if across:
            first, second = (each.flatten(0, 1) for each in across)
            product = product - first.t() @ second
        gradient[:, taps] = product.view(len(gradient), -1, frames.shape[2])
    return gradient.transpose(1, 2)


def _groups(weight: Tensor, stride: int, n: int) -> Iterator[tuple[int, slice, slice]]:
    """The taps by groups of `stride` frames, as which an input of n groups is laid out.

    Yields a group's offset from that of the output, its taps, and their columns in the group, (frame, channel). The
    output's own group, which is complete, comes first. Groups that are always outside a window are left out.
    """
    _, channels, n_taps = weight.shape
    padding = _padding(weight, stride)
    for offset in sorted(range(-padding // stride, (n_taps - 1 - padding) // stride + 1), key=abs):
        start = offset * stride + padding
        first, last = max(start, 0), min(start + stride, n_taps)
        if abs(offset) < n:
            yield offset, slice(first, last), slice((first - start) * channels, (last - start) * channels)


def _pairs(outputs: Tensor, groups: Tensor, offset: int) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor] | None]:
    """Views of outputs and groups (B, n, size) that are `offset` apart, matrices of almost B * n rows.

    Where the windows are laid end to end, some of these pairs belong to neighbouring windows. They are returned, too,
    (B - 1, offset, size) each, so that their part can be subtracted.
    """
    rows, group_rows = (each.flatten(0, 1) for each in (outputs, groups))
    if offset == 0:
        return (rows, group_rows), None
    n, distance = outputs.shape[1], abs(offset)
    if offset > 0:
        return (rows[:-offset], group_rows[offset:]), (outputs[:-1, n - distance :], groups[1:, :distance])
    return (rows[distance:], group_rows[:-distance]), (outputs[1:, :distance], groups[:-1, n - distance :])
