"""Dropout that does not depend on how the rows of a batch are divided among processes, sorted and padded."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

# Multipliers of a 32-bit hash with little bias (C. Wellons, hash-prospector: lowbias32), as signed numbers.
_FIRST, _SECOND = 0x7FEB352D, 0x846CA68B - (1 << 32)


class Masks(NamedTuple):
    """Dropout masks: a hash of the seed int32 (), the layer, the row of the whole batch (B,), the place, the column."""

    share: float
    seed: Tensor
    rows: Tensor

    def of(self, rows: Tensor) -> "Masks":
        """The masks of some of these rows, int64 (b,)."""
        return self._replace(rows=self.rows[rows])

    def factors(self, layer: int, places: int, columns: int, dtype: torch.dtype) -> Tensor:
        """Factors (B, places, columns) of elements: 0 for a share of them, 1 / (1 - share) for the others."""
        place, column = (torch.arange(n, dtype=torch.int32, device=self.rows.device) for n in (places, columns))
        key = _mixed(_mixed(self.seed) + layer)
        of_row = _mixed(self.rows.int() ^ key)
        of_place = _mixed(of_row[:, None] ^ place)[:, :, None]
        # Each element costs two products: on a CPU less than torch's own generator.
        product = of_place * (_mixed(column ^ (key * 3)) | 1)
        kept = (product ^ (product >> 15)) * _FIRST >= int((self.share - 0.5) * (1 << 32))
        return kept.to(dtype).mul_(1 / (1 - self.share))


def dropped(vectors: Tensor, masks: Masks | None, layer: int) -> Tensor:
    """`vectors` (B, N, width) after dropout; without `masks` as they are."""
    return vectors if masks is None else vectors * masks.factors(layer, *vectors.shape[1:], vectors.dtype)


class RowDropout(nn.Module):
    """Dropout of a model; row k of this process is row `first` + `step` * k of the whole batch."""

    def __init__(self, share: float = 0.0) -> None:
        super().__init__()
        self.share, self.first, self.step = share, 0, 1

    def masks(self, batch: int, device: torch.device) -> Masks | None:
        """The masks of a forward pass of `batch` rows; None without dropout.

        The seed is drawn from torch's global rng on the device, which all processes must have in the same state.
        """
        if not (self.training and self.share):
            return None
        seed = torch.randint(-(1 << 31), (1 << 31) - 1, (), dtype=torch.int32, device=device)
        return Masks(self.share, seed, self.first + self.step * torch.arange(batch, device=device))


def _mixed(numbers: Tensor) -> Tensor:
    """A permutation of int32."""
    numbers = (numbers ^ (numbers >> 16 & 0xFFFF)) * _FIRST
    numbers = (numbers ^ (numbers >> 15 & 0x1FFFF)) * _SECOND
    return numbers ^ (numbers >> 16 & 0xFFFF)
