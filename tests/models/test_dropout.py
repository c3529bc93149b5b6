"""Dropout by rows of the whole batch."""

import pytest
import torch
from torch import Tensor

from models.dropout import RowDropout, dropped

SHARE, ROWS, PLACES, COLUMNS = 0.3, 24, 16, 64


def factors(seed: int = 0, layer: int = 0, first: int = 0, step: int = 1, rows: int = ROWS) -> Tensor:
    torch.manual_seed(seed)
    dropout = RowDropout(SHARE)
    dropout.first, dropout.step = first, step
    return dropout.masks(rows, torch.device("cpu")).factors(layer, PLACES, COLUMNS, torch.float32)


def test_a_share_is_dropped_and_the_expectation_kept() -> None:
    vectors = torch.full((200, PLACES, COLUMNS), 2.0)
    torch.manual_seed(0)
    after = dropped(vectors, RowDropout(SHARE).masks(200, vectors.device), 0)
    assert sorted(after.unique().tolist()) == pytest.approx([0, 2 / (1 - SHARE)])
    assert (after == 0).float().mean() == pytest.approx(SHARE, abs=0.005)
    assert dropped(vectors, RowDropout(SHARE).eval().masks(200, vectors.device), 0) is vectors
    assert RowDropout(0.0).masks(200, vectors.device) is None


def test_elements_are_independent_of_each_other_layers_and_seeds() -> None:
    """Correlations of n = 1024 or more elements are below 6 / sqrt(n)."""
    every = torch.stack([factors(seed, layer) for seed in (0, 1) for layer in range(4)])
    standard = (every - 1) / (SHARE / (1 - SHARE)) ** 0.5
    for dim in range(4):
        lines = standard.transpose(0, dim).flatten(1)
        correlation = (lines @ lines.t() / lines.shape[1]).fill_diagonal_(0)
        assert correlation.abs().max() < 6 / lines.shape[1] ** 0.5
        assert (lines.mean(1).abs() < 6 / lines.shape[1] ** 0.5).all()


@pytest.mark.parametrize("n", [2, 5])
def test_processes_drop_what_one_does(n: int) -> None:
    whole = factors()
    for rank in range(n):
        torch.testing.assert_close(factors(first=rank, step=n, rows=len(range(rank, ROWS, n))), whole[rank::n])


def test_sorting_and_padding_change_nothing() -> None:
    torch.manual_seed(0)
    masks = RowDropout(SHARE).masks(ROWS, torch.device("cpu"))
    rows = torch.randperm(ROWS)[:7]
    part = masks.of(rows).factors(0, PLACES + 3, COLUMNS, torch.float32)
    torch.testing.assert_close(part[:, :PLACES], factors()[rows])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_the_type_stays_and_gradients_have_the_same_masks(dtype: torch.dtype) -> None:
    vectors = torch.ones(ROWS, PLACES, COLUMNS, dtype=dtype, requires_grad=True)
    torch.manual_seed(0)
    after = dropped(vectors, RowDropout(SHARE).masks(ROWS, vectors.device), 0)
    after.sum().backward()
    assert after.dtype == dtype
    torch.testing.assert_close(vectors.grad, after.detach())
    torch.testing.assert_close(after.detach(), factors().to(dtype))
