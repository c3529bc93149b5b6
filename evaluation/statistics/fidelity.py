"""Fidelity and diversity of a sample, which a Fréchet distance does not separate."""

from typing import NamedTuple

import torch
from torch import Tensor

NEAREST = 5


class Fidelity(NamedTuple):
    """Shares of rows, except `density`, which exceeds 1 if generated rows concentrate where real ones are dense.

    `precision`, `density`: are generated rows near real ones? `recall`, `coverage`: are real rows near generated ones?
    """

    precision: float
    recall: float
    density: float
    coverage: float


def fidelity(real: Tensor, generated: Tensor, nearest: int = NEAREST) -> Fidelity:
    """Compare `generated` rows (m, F) with `real` ones (n, F), in float64.

    The ball of a row reaches to its k-th neighbour in the same sample. Precision and recall: Kynkäänniemi et al. 2019;
    density and coverage, which are robust to outliers: Naeem et al. 2020. Raises ValueError for at most k rows.
    """
    if min(len(real), len(generated)) <= nearest:
        raise ValueError(f"{nearest} neighbours need more rows than {len(real)} and {len(generated)}")
    real, generated = real.double(), generated.double()
    radius_real, radius_generated = _radius(real, nearest), _radius(generated, nearest)
    distance = torch.cdist(real, generated)  # (n, m)
    in_real = distance <= radius_real[:, None]
    return Fidelity(
        precision=in_real.any(0).double().mean().item(),
        recall=(distance <= radius_generated).any(1).double().mean().item(),
        density=(in_real.sum(0).double().mean() / nearest).item(),
        coverage=in_real.any(1).double().mean().item(),
    )


def _radius(rows: Tensor, nearest: int) -> Tensor:
    """Distance of each row to its k-th neighbour other than itself, (n,)."""
    return torch.cdist(rows, rows).kthvalue(nearest + 1, dim=1).values
