"""Distances between samples: closed forms, other libraries, and what small samples do."""

import math
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor

from evaluation.statistics.distances import (
    fidelity,
    frechet_distance,
    kernel_distance,
    monge_distance,
    random_halves,
)
from evaluation.statistics.extrapolation import frechet_infinity


def sample(mean: Tensor, root: Tensor, n: int = 50, seed: int = 0) -> Tensor:
    """`n` rows with exactly the mean `mean` and the covariance root^T root."""
    noise = torch.randn(n, len(root), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    white = torch.linalg.qr(noise - noise.mean(0)).Q * (n - 1) ** 0.5
    return mean + white @ root


def test_frechet_distance_of_equal_covariances_is_the_squared_shift() -> None:
    root = torch.randn(4, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    first, second = sample(torch.zeros(4), root), sample(torch.tensor([1.0, -2.0, 0.0, 2.0]), root, seed=2)
    assert frechet_distance(first, second) == pytest.approx(9.0)
    assert frechet_distance(first, first + 3) == pytest.approx(4 * 9.0)
    assert frechet_distance(first, first.flip(0)) == pytest.approx(0, abs=1e-6)


def test_frechet_distance_of_singular_covariances() -> None:
    # Deviations 2 and 3 in the same direction, then in orthogonal ones: (2 - 3)^2, and 2^2 + 3^2.
    along, across = torch.zeros(5, 5).double(), torch.zeros(5, 5).double()
    along[0, 0], across[1, 1] = 2.0, 3.0
    first = sample(torch.zeros(5), along)
    assert frechet_distance(first, sample(torch.zeros(5), 1.5 * along, seed=1)) == pytest.approx(1.0)
    assert frechet_distance(first, sample(torch.zeros(5), across, seed=1)) == pytest.approx(13.0)
    # A set that never varies.
    assert frechet_distance(first, torch.ones(7, 5)) == pytest.approx(4.0 + 5.0)


@pytest.mark.parametrize(("n", "m", "columns"), [(60, 80, 6), (4, 9, 27)])
def test_frechet_distance_with_a_matrix_square_root(n: int, m: int, columns: int) -> None:
    """Also with fewer rows than columns."""
    rng = torch.Generator().manual_seed(0)
    first, second, mixing = (torch.randn(size, columns, generator=rng, dtype=torch.float64) for size in (n, m, columns))
    second = second @ mixing
    c1, c2 = torch.cov(first.t()), torch.cov(second.t())
    values, vectors = torch.linalg.eigh(c1)
    root = vectors @ torch.diag(values.clamp_min(0).sqrt()) @ vectors.t()
    cross = torch.linalg.eigvalsh(root @ c2 @ root).clamp_min(0).sqrt().sum()
    expected = (first.mean(0) - second.mean(0)).square().sum() + c1.trace() + c2.trace() - 2 * cross
    assert frechet_distance(first, second) == pytest.approx(expected.item(), rel=1e-6)


def test_kernel_distance_of_hand_made_samples() -> None:
    reference, other = torch.tensor([[0.0], [2.0], [4.0]]), torch.tensor([[0.0], [2.0]])
    # Distances within the reference are 2, 2, 4: the bandwidth is 2, and k(d) = exp(-d^2 / 8).
    k2, k4 = math.exp(-0.5), math.exp(-2)
    within = (2 * k2 + k4) / 3 + k2
    between = (2 * 1 + 3 * k2 + k4) / 6
    assert kernel_distance(reference, other) == pytest.approx(100 * (within - 2 * between))
    assert kernel_distance(reference, 3 * other) != pytest.approx(kernel_distance(3 * other, reference)), "bandwidth"


def test_kernel_distance_is_unbiased_and_sees_a_shift() -> None:
    rng = torch.Generator().manual_seed(0)
    equal = [kernel_distance(*torch.randn(2, 20, 8, generator=rng)) for _ in range(200)]
    mean, spread = torch.tensor(equal).mean().item(), torch.tensor(equal).std().item()
    assert abs(mean) < 3 * spread / math.sqrt(len(equal))
    shifted = kernel_distance(torch.randn(20, 8, generator=rng), 2 + torch.randn(20, 8, generator=rng))
    assert min(equal) < 0 and shifted > 10 * spread


def test_monge_distance_in_one_dimension_is_the_squared_wasserstein_distance() -> None:
    first, second = torch.tensor([[4.0], [0.0], [2.0]]), torch.tensor([[3.0], [5.0], [7.0]])
    assert monge_distance(first, second) == pytest.approx(9)
    assert monge_distance(first, second.flip(0)) == monge_distance(first, second), "rows have no order"
    # 0, 2 and 4 against 0 and 2: 0, 4, 0 and 4 for quantiles from 0, 1/3, 1/2 and 2/3.
    assert monge_distance(first, torch.tensor([[2.0], [0.0]])) == pytest.approx(4 / 6 + 4 / 3)
    assert monge_distance(torch.tensor([[2.0], [0.0]]), first) == pytest.approx(4 / 6 + 4 / 3)
    assert monge_distance(first, first.repeat(5, 1)) == 0


def test_monge_distance_of_shifted_and_scaled_samples() -> None:
    size = 6
    white = sample(torch.zeros(size), torch.eye(size).double())
    # The deviation along every direction is the scale, with n - 1 in place of n.
    assert monge_distance(2 * white, 5 * white) == pytest.approx(size * (2 - 5) ** 2 * 49 / 50)
    shift = torch.tensor([1.0, -2.0, 0.0, 2.0, 0.0, 4.0])
    assert monge_distance(white, white + shift) == pytest.approx(25, rel=0.1), "up to the choice of directions"
    assert monge_distance(white, 3 * white + shift) == pytest.approx(4 * size * 49 / 50 + 25, rel=0.1)


def test_monge_distance_sees_more_than_mean_and_covariance() -> None:
    n = 1000
    normal = torch.distributions.Normal(0.0, 1.0).icdf((torch.arange(n).double() + 0.5) / n)[:, None]
    two_points = torch.tensor([-1.0, 1.0]).double().repeat_interleave(n // 2)[:, None] * normal.std(correction=0)
    assert frechet_distance(normal, two_points) == pytest.approx(0, abs=1e-6)
    # E (|x| - 1)^2 for a standard normal x is 2 - 2 sqrt(2 / pi).
    assert monge_distance(normal, two_points) == pytest.approx(2 - 2 * math.sqrt(2 / math.pi), rel=0.01)


@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_frechet_infinity_removes_most_of_the_bias(shift: float) -> None:
    rng = torch.Generator().manual_seed(0)
    scale = torch.arange(1, 25, dtype=torch.float64) ** -0.5
    true = shift**2 * 24
    biases = {"finite": [], "infinite": []}
    for _ in range(10):
        first, second = torch.randn(2, 96, 24, generator=rng, dtype=torch.float64) * scale
        second = second + shift
        biases["finite"].append(frechet_distance(first, second) - true)
        biases["infinite"].append(frechet_infinity(first, second, rng) - true)
    finite, infinite = (torch.tensor(biases[name]) for name in ("finite", "infinite"))
    assert finite.mean() > 0.25, "there is a bias to remove"
    spread = infinite.std().item() / math.sqrt(len(infinite))
    assert abs(infinite.mean().item()) < 0.1 * finite.mean().item() + 3 * spread


@pytest.mark.parametrize(
    ("distance", "first", "second", "message"),
    [
        (frechet_distance, torch.zeros(1, 3), torch.zeros(5, 3), "a covariance needs two rows, but there are 1 and 5"),
        (kernel_distance, torch.zeros(5, 3), torch.zeros(1, 3), "needs two rows, but there are 5 and 1"),
        (kernel_distance, torch.zeros(5, 3), torch.randn(5, 3), "the kernel has no width"),
        (monge_distance, torch.zeros(1, 3), torch.zeros(5, 3), "needs two rows, but there are 1 and 5"),
        (fidelity, torch.zeros(5, 4), torch.zeros(800, 4), "more rows than 5 and 800"),
        (partial(frechet_infinity, rng=torch.Generator()), torch.randn(19, 10), torch.randn(40, 10), "needs 20 rows"),
    ],
)
def test_samples_that_have_no_distance(distance: Callable, first: Tensor, second: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        distance(first, second)


def test_random_halves_are_disjoint_and_keep_the_strata() -> None:
    strata = [torch.arange(6.0)[:, None], 10 + torch.arange(5.0)[:, None]]
    first, second = random_halves(strata, torch.Generator().manual_seed(0))
    assert len(first) == len(second) == 5
    assert not set(first.flatten().tolist()) & set(second.flatten().tolist())
    assert (first < 10).sum() == (second < 10).sum() == 3


def normal(n: int, seed: int, scale: float = 1.0) -> Tensor:
    return scale * torch.randn(n, 4, generator=torch.Generator().manual_seed(seed))


def test_fidelity_of_equal_distributions() -> None:
    found = fidelity(normal(800, 0), normal(800, 1))
    assert found.precision > 0.9 and found.recall > 0.9
    assert found.density == pytest.approx(1, abs=0.05)
    # Naeem et al. 2020, equation 11: 1 - (n - 1) ... (n - k) / (2n - 1) ... (2n - k), close to 1 - 2^-k.
    assert found.coverage == pytest.approx(1 - 2**-5, abs=0.02)


def test_a_narrow_sample_is_precise_and_covers_little() -> None:
    found = fidelity(normal(400, 0), normal(400, 1, scale=0.05))
    assert found.precision == 1 and found.density > 1
    assert found.recall < 0.1 and found.coverage < 0.3


def test_fidelity_of_two_points_by_hand() -> None:
    real = torch.tensor([[0.0], [1.0], [10.0]])
    generated = torch.tensor([[0.5], [1.5], [100.0]])
    # Radii with k = 1: real 1, 1, 9; generated 1, 1, 98.5.
    found = fidelity(real, generated, nearest=1)
    assert found.precision == pytest.approx(2 / 3)
    assert found.recall == pytest.approx(1), "10 lies within 98.5 of 100"
    # 0.5 lies in the balls of 0 and 1; 1.5 in those of 1 and 10 (8.5 away).
    assert found.density == pytest.approx(4 / 3)
    assert found.coverage == pytest.approx(1)
