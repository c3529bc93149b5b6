"""Fidelity and diversity of a sample, apart: a Fréchet distance is bought with either."""

from typing import NamedTuple

import torch
from torch import Tensor

NEAREST = 5


class Fidelity(NamedTuple):
    """Shares of rows, but for `density`, which exceeds 1 where generated rows crowd together in dense places.

    `precision` and `density`: do generated rows lie among the real ones? `recall` and `coverage`: are the real ones
    among the generated, each near one?
    """

    precision: float
    recall: float
    density: float
    coverage: float


def fidelity(real: Tensor, generated: Tensor, nearest: int = NEAREST) -> Fidelity:
    """Of `generated` rows (m, F) by `real` ones (n, F), in float64.

    A row's ball reaches to its k-th neighbour of its own kind. Precision and recall: Kynkäänniemi et al. 2019; density
    and coverage, which a single odd row cannot inflate: Naeem et al. 2020. Raises ValueError for at most k rows.
    """
    if min(len(real), len(generated)) <= nearest:
        raise ValueError(f"{nearest} neighbours need more rows than {len(real)} and {len(generated)}")
    real, generated = real.double(), generated.double()
    radius_real, radius_generated = _radius(real, nearest), _radius(generated, nearest)
    apart = torch.cdist(real, generated)  # (n, m)
    in_real = apart <= radius_real[:, None]
    return Fidelity(
        precision=in_real.any(0).double().mean().item(),
        recall=(apart <= radius_generated).any(1).double().mean().item(),
        density=(in_real.sum(0).double().mean() / nearest).item(),
        coverage=in_real.any(1).double().mean().item(),
    )


def _radius(rows: Tensor, nearest: int) -> Tensor:
    """Distance of each row to its k-th neighbour, itself not counted, (n,)."""
    return torch.cdist(rows, rows).kthvalue(nearest + 1, dim=1).values
