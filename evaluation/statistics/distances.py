"""Fréchet and kernel distances between two samples of vectors, and the effect of their finite size."""

from collections.abc import Sequence

import torch
from scipy.stats import linregress
from torch import Tensor

# FAD-infinity uses samples of half the rows and more; below twice the dimension they are too small for its line.
ROWS_PER_DIMENSION = 2
_SIZES, _DRAWS = 6, 8


def frechet_distance(first: Tensor, second: Tensor) -> float:
    """Squared Fréchet distance between Gaussians fitted to two samples, (n, F) and (m, F), in float64.

    |mu1 - mu2|^2 + Tr(C1 + C2 - 2 sqrt(C1 C2)) (Dowson and Landau 1982). Tr sqrt(C1 C2) is the sum of the singular
    values of A B^T, where A and B are the centred samples over sqrt(n - 1). This needs no matrix square root and is
    stable for singular covariances. Raises ValueError for fewer than two rows.
    """
    if min(len(first), len(second)) < 2:
        raise ValueError(f"a covariance needs two rows, but there are {len(first)} and {len(second)}")
    # On the CPU: not all devices have float64, and the samples are narrow.
    first, second = first.cpu().double(), second.cpu().double()
    a, b = ((sample - sample.mean(0)) / (len(sample) - 1) ** 0.5 for sample in (first, second))
    # The singular values of A B^T are those of R_a R_b^T, which are small.
    r_a, r_b = torch.linalg.qr(a, mode="r").R, torch.linalg.qr(b, mode="r").R
    cross = torch.linalg.svdvals(r_a @ r_b.t()).sum()
    shift = (first.mean(0) - second.mean(0)).square().sum()
    return float(shift + a.square().sum() + b.square().sum() - 2 * cross)


def kernel_distance(reference: Tensor, sample: Tensor) -> float:
    """KAD: 100 times the unbiased squared maximum mean discrepancy of (n, F) and (m, F), Gaussian kernel, in float64.

    The bandwidth is the median distance within `reference` (Chung et al. 2025, KAD). Unbiased: the mean is 0 for two
    samples of one distribution, so the distance can be negative. Raises ValueError for fewer than two rows, or if the
    median distance is 0.
    """
    if min(len(reference), len(sample)) < 2:
        raise ValueError(f"an unbiased estimate needs two rows, but there are {len(reference)} and {len(sample)}")
    reference, sample = reference.cpu().double(), sample.cpu().double()
    bandwidth = torch.pdist(reference).median()
    if bandwidth == 0:
        raise ValueError("more than half of the reference's rows are equal, so that the kernel has no width")

    def kernel(squared_distance: Tensor) -> Tensor:
        return torch.exp(-squared_distance / (2 * bandwidth.square()))

    within = sum(kernel(torch.pdist(rows).square()).mean() for rows in (reference, sample))
    between = kernel(torch.cdist(reference, sample).square()).mean()
    return 100 * float(within - 2 * between)


def frechet_infinity(first: Tensor, second: Tensor, rng: torch.Generator) -> float:
    """The Fréchet distance of samples (n, F) and (m, F), extrapolated to infinitely many rows (Chong and Forsyth 2020).

    The bias of n rows is c / n to first order. A line in 1 / n through the distances of smaller samples, from half of
    the rows to all, gives the value at 0. Both samples shrink together. Rows are drawn without replacement: repeated
    rows lower the rank of a covariance like a smaller sample. Raises ValueError for fewer than `required_rows` rows.
    """
    n = min(len(first), len(second))
    if n < required_rows(first.shape[1]):
        raise ValueError(f"needs {required_rows(first.shape[1])} rows, but there are {n}")
    inverse_sizes = torch.linspace(2 / n, 1 / n, _SIZES, dtype=torch.float64)
    sizes = (1 / inverse_sizes).round().long().tolist()
    distances = []
    for size in sizes:
        draws = 1 if size == len(first) == len(second) else _DRAWS
        drawn = [[rows[torch.randperm(len(rows), generator=rng)[:size]] for rows in (first, second)]
                 for _ in range(draws)]  # fmt: skip
        distances.append(sum(frechet_distance(*pair) for pair in drawn) / draws)
    return float(linregress([1 / size for size in sizes], distances).intercept)


def required_rows(dimension: int) -> int:
    """Rows that `frechet_infinity` needs. With fewer, a sixth of the bias or more remained on Gaussian samples."""
    return ROWS_PER_DIMENSION * dimension


def random_halves(strata: Sequence[Tensor], rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Two disjoint random halves of a sample, balanced within each stratum (n, F); an odd row is left out."""
    shuffled = [rows[torch.randperm(len(rows), generator=rng)] for rows in strata]
    halves = [rows[: len(rows) // 2 * 2].chunk(2) for rows in shuffled]
    return torch.cat([half[0] for half in halves]), torch.cat([half[1] for half in halves])
