"""Convolutions of frames against the library's."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from models.frames import (
    convolve,
    convolve_by_library,
    convolve_transposed,
    convolve_transposed_by_library,
    quadratic_form,
    quadratic_form_by_library,
)  # fmt: skip

CASES = {
    "convolution": (convolve, F.conv1d, 1, {"padding": 2}, (8, 6, 5)),
    "of one frame": (convolve, F.conv1d, 1, {}, (8, 6, 1)),
    "strided": (convolve, F.conv1d, 2, {"padding": 2, "stride": 2}, (8, 6, 5)),
    "strided with even taps": (convolve, F.conv1d, 4, {"padding": 2, "stride": 4}, (8, 6, 8)),
    "transposed": (convolve_transposed, F.conv_transpose1d, 1, {"padding": 1}, (6, 8, 3)),
    "strided and transposed": (
        convolve_transposed, F.conv_transpose1d, 2, {"padding": 2, "stride": 2, "output_padding": 1}, (6, 8, 5)
    ),
    "with even taps": (convolve_transposed, F.conv_transpose1d, 4, {"padding": 2, "stride": 4}, (6, 8, 8)),
}  # fmt: skip


@pytest.mark.parametrize(("ours", "library", "stride", "options", "shape"), CASES.values(), ids=CASES)
def test_values_and_derivatives(
    ours: Callable[..., Tensor], library: Callable[..., Tensor], stride: int, options: dict[str, int],
    shape: tuple[int, ...],
) -> None:  # fmt: skip
    frames, weight = torch.randn(3, 16, 6, dtype=torch.float64), torch.randn(shape, dtype=torch.float64)
    leaves = [frames.requires_grad_(), weight.requires_grad_()]
    found = ours(frames, weight, stride=stride)
    expected = library(frames.transpose(1, 2), weight, **options).transpose(1, 2)
    torch.testing.assert_close(found, expected)
    assert found.is_contiguous()
    first, second = torch.randn_like(expected), [torch.randn_like(leaf) for leaf in leaves]
    both = []
    for each in (found, expected):
        cotangent = first.clone().requires_grad_()
        gradients = torch.autograd.grad(each, leaves, cotangent, create_graph=True)
        product = sum((gradient * weighting).sum() for gradient, weighting in zip(gradients, second, strict=True))
        both.append([*gradients, *torch.autograd.grad(product, [*leaves, cotangent])])
    for gradient, wanted in zip(*both, strict=True):
        torch.testing.assert_close(gradient, wanted)


@pytest.mark.parametrize(("ours", "library", "stride", "options", "shape"), CASES.values(), ids=CASES)
def test_other_devices_compute_the_same(
    ours: Callable[..., Tensor], library: Callable[..., Tensor], stride: int, options: dict[str, int],
    shape: tuple[int, ...],
) -> None:  # fmt: skip
    """The branches of other devices, here on the CPU."""
    branch = {convolve: convolve_by_library, convolve_transposed: convolve_transposed_by_library}[ours]
    frames, weight = torch.randn(3, 16, 6, dtype=torch.float64), torch.randn(shape, dtype=torch.float64)
    found, expected = branch(frames, weight, stride=stride), ours(frames, weight, stride=stride)
    torch.testing.assert_close(found, expected)
    assert found.shape == expected.shape
    if ours is convolve:
        bias = torch.randn(8, dtype=torch.float64)
        torch.testing.assert_close(branch(frames, weight, bias, stride), ours(frames, weight, bias, stride))


@pytest.mark.parametrize("length", [16, 2])
def test_a_quadratic_form_has_the_derivatives_of_its_sums(length: int) -> None:
    frames, half = (torch.randn(*size, dtype=torch.float64, requires_grad=True) for size in ((3, length, 4), (4, 4, 5)))
    leaves = [frames, half]
    weight = half + half.transpose(0, 1).flip(2)
    expected = (frames * convolve(frames, weight)).sum((1, 2))
    wanted = torch.autograd.grad((expected * torch.arange(1, 4)).sum(), leaves, retain_graph=True)
    for each in (quadratic_form(frames, weight), quadratic_form_by_library(frames, weight)):
        torch.testing.assert_close(each, expected)
        gradients = torch.autograd.grad((each * torch.arange(1, 4)).sum(), leaves, retain_graph=True)
        for ours, theirs in zip(gradients, wanted, strict=True):
            torch.testing.assert_close(ours, theirs)


def test_neighbours_outside_a_short_window_are_silent() -> None:
    frames, weight = torch.randn(3, 1, 6, requires_grad=True), torch.randn(8, 6, 5, requires_grad=True)
    convolve(frames, weight).sum().backward()
    torch.testing.assert_close(frames.grad[:, 0], weight[:, :, 2].sum(0).expand(3, -1))
    assert not weight.grad[:, :, [0, 1, 3, 4]].any()


def test_a_bias_is_added_and_autocast_decides_the_type() -> None:
    frames, weight, bias = torch.randn(3, 16, 6), torch.randn(8, 6, 5, requires_grad=True), torch.randn(8)
    expected = convolve(frames, weight)
    torch.testing.assert_close(convolve(frames, weight, bias), expected + bias)
    with torch.autocast("cpu", torch.bfloat16):
        found = convolve(frames, weight)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), expected, rtol=0.05, atol=0.2)
    found.sum().backward()
    assert weight.grad.dtype == torch.float32
