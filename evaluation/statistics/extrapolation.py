"""The Fréchet distance, extrapolated to infinitely many rows."""

import torch
from scipy.stats import linregress
from torch import Tensor

from evaluation.statistics.distances import frechet_distance

# Samples have half the rows and more. With fewer rows than twice the dimension, a sixth of the bias or more remained on
# Gaussian samples.
ROWS_PER_DIMENSION = 2
_SIZES, _DRAWS = 6, 8


def frechet_infinity(first: Tensor, second: Tensor, rng: torch.Generator) -> float:
    """The Fréchet distance of samples (n, F) and (m, F), extrapolated to infinitely many rows (Chong and Forsyth 2020).

    The bias of n rows is c / n to first order. A line in 1 / n through the distances of smaller samples, from half of
    the rows to all, gives the value at 0. Both samples shrink together. Rows are drawn without replacement: repeated
    rows lower the rank of a covariance like a smaller sample. Raises ValueError for fewer than 2 F rows.
    """
    n, needed = min(len(first), len(second)), ROWS_PER_DIMENSION * first.shape[1]
    if n < needed:
        raise ValueError(f"needs {needed} rows, but there are {n}")
    inverse_sizes = torch.linspace(2 / n, 1 / n, _SIZES, dtype=torch.float64)
    sizes = (1 / inverse_sizes).round().long().tolist()
    distances = []
    for size in sizes:
        draws = 1 if size == len(first) == len(second) else _DRAWS
        drawn = [[rows[torch.randperm(len(rows), generator=rng)[:size]] for rows in (first, second)]
                 for _ in range(draws)]  # fmt: skip
        distances.append(sum(frechet_distance(*pair) for pair in drawn) / draws)
    return float(linregress([1 / size for size in sizes], distances).intercept)
