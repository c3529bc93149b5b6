"""Precision, recall, density and coverage of samples with known values."""

import pytest
import torch

from evaluation.statistics.fidelity import fidelity


def normal(n: int, seed: int, shift: float = 0.0, scale: float = 1.0) -> torch.Tensor:
    return scale * torch.randn(n, 4, generator=torch.Generator().manual_seed(seed)) + shift


def test_equal_distributions() -> None:
    found = fidelity(normal(800, 0), normal(800, 1))
    assert found.precision > 0.9 and found.recall > 0.9
    assert found.density == pytest.approx(1, abs=0.05)
    # Naeem et al. 2020, equation 11: 1 - (n - 1) ... (n - k) / (2n - 1) ... (2n - k), close to 1 - 2^-k.
    assert found.coverage == pytest.approx(1 - 2**-5, abs=0.02)


def test_distant_samples_score_0() -> None:
    assert fidelity(normal(200, 0), normal(200, 1, shift=100)) == (0, 0, 0, 0)


def test_a_narrow_sample_is_precise_and_covers_little() -> None:
    found = fidelity(normal(400, 0), normal(400, 1, scale=0.05))
    assert found.precision == 1 and found.density > 1
    assert found.recall < 0.1 and found.coverage < 0.3


def test_two_points_by_hand() -> None:
    real = torch.tensor([[0.0], [1.0], [10.0]])
    generated = torch.tensor([[0.5], [1.5], [100.0]])
    # Radii with k = 1: real 1, 1, 9; generated 1, 1, 98.5.
    found = fidelity(real, generated, nearest=1)
    assert found.precision == pytest.approx(2 / 3)
    assert found.recall == pytest.approx(1), "10 lies within 98.5 of 100"
    # 0.5 lies in the balls of 0 and 1; 1.5 in those of 1 and 10 (8.5 away).
    assert found.density == pytest.approx(4 / 3)
    assert found.coverage == pytest.approx(1)


def test_too_few_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="more rows than 5 and 800"):
        fidelity(normal(5, 0), normal(800, 1))
