"""Convolutions of frames against the library's."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from models.frames import convolve, convolve_transposed

STRIDED = {"stride": 2, "padding": 2}
CASES = {
    "convolution": (convolve, F.conv1d, {"padding": 1}, (8, 6, 5)),
    "strided convolution": (convolve, F.conv1d, STRIDED, (8, 6, 5)),
    "transposed": (convolve_transposed, F.conv_transpose1d, {**STRIDED, "output_padding": 1}, (6, 8, 5)),
}


@pytest.mark.parametrize(("ours", "library", "options", "shape"), CASES.values(), ids=CASES)
def test_values_gradients_and_layout(
    ours: Callable[..., Tensor], library: Callable[..., Tensor], options: dict[str, int], shape: tuple[int, ...]
) -> None:
    frames, weight = torch.randn(3, 16, 6, dtype=torch.float64), torch.randn(shape, dtype=torch.float64)
    leaves = [frames.requires_grad_(), weight.requires_grad_()]
    found, expected = ours(*leaves, **options), library(frames.transpose(1, 2), weight, **options).transpose(1, 2)
    torch.testing.assert_close(found, expected)
    assert found.is_contiguous()
    cotangent = torch.randn_like(expected)
    gradients = (torch.autograd.grad(each, leaves, cotangent) for each in (found, expected))
    for gradient, wanted in zip(*gradients, strict=True):
        torch.testing.assert_close(gradient, wanted)
    if ours is convolve:
        bias = torch.randn(8, dtype=torch.float64)
        torch.testing.assert_close(convolve(frames, weight, bias, **options), found + bias)
