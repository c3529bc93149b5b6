"""Order of training windows, and weights of genres."""

import torch
from torch import Tensor

from common.randomness import rng_at


class WindowOrder:
    """Window indices of each training step, a function of seed, epoch, position and stream.

    Each stream of an epoch is another permutation, so the five critic steps of an iteration see five batches. With
    `balanced`, windows are drawn with replacement: first a genre, uniformly, then a window of it.
    """

    def __init__(
        self, genre: Tensor, batch_size: int, seed: int, *, balanced: bool, epoch_windows: int | None = None
    ) -> None:
        """`genre`: of all windows, int64 (n,) on the CPU. `epoch_windows`: how many an epoch has, if not n."""
        self._genre = genre
        self._batch_size = batch_size
        self._seed = seed
        self._balanced, self._epoch_windows = balanced, epoch_windows
        self._cached: dict[int, tuple[int, Tensor]] = {}

    def examples(self, epoch: int, first: int, stream: int = 0) -> Tensor:
        """Return the window indices of the step that begins with example `first` of an epoch, int64 (B,).

        The last step takes the remaining windows.
        """
        if self._cached.get(stream, (-1,))[0] != epoch:
            order = self._order(epoch, stream)[: self._epoch_windows]
            # A copy in 32 bits, so that the order of all windows is freed.
            self._cached[stream] = epoch, order.int() if len(self._genre) <= torch.iinfo(torch.int32).max else order
        return self._cached[stream][1][first : first + self._batch_size].long()

    def _order(self, epoch: int, stream: int) -> Tensor:
        rng = rng_at("order", self._seed, len(self._genre), epoch, stream)
        if not self._balanced:
            return torch.randperm(len(self._genre), generator=rng)
        by_genre = torch.argsort(self._genre, stable=True)
        present, count = torch.unique(self._genre, return_counts=True)
        first = count.cumsum(0) - count
        drawn = torch.randint(len(present), (len(self._genre),), generator=rng)
        place = (torch.rand(len(drawn), generator=rng, dtype=torch.float64) * count[drawn]).long()
        return by_genre[first[drawn] + place]


def inverse_frequency_weights(genre: Tensor, n_genres: int) -> Tensor:
    """Return genre weights, float32 (n_genres,), inverse to the number of windows, with mean 1 over all windows."""
    count = torch.bincount(genre.cpu(), minlength=n_genres).double()
    present = (count > 0).sum()
    return torch.where(count > 0, count.sum() / (present * count.clamp_min(1)), 0.0).float()
