"""Losses of an epoch, without a wait for the device in every step."""

import torch
from torch import Tensor

from training.ranks import Ranks

_NEVER = 2**62  # an example that no epoch has


class EpochLosses:
    """Sums of the losses over the examples of an epoch, on the device, so that no step waits for it."""

    def __init__(self, sums: dict[str, float], device: torch.device, ranks: Ranks = Ranks()) -> None:
        """`sums` of an interrupted epoch to go on with, or empty."""
        self._ranks = ranks
        if not ranks.first:  # the first process has the sums of all
            sums = dict.fromkeys(sums, 0.0)
        self._names = list(sums)
        self._sums = torch.tensor(list(sums.values()), device=device, dtype=torch.float32)
        self._bad_example = torch.tensor(_NEVER, device=device)

    def add(self, losses: dict[str, Tensor], example: int, count: int, weight: float = 1.0) -> None:
        """Add the losses of a step on the `count` examples from `example` on.

        They are means over the share `weight` of the examples, that of this process.
        """
        if not self._names:
            self._names, self._sums = list(losses), self._sums.new_zeros(len(losses))
        self._latest = weight * torch.stack([losses[name].detach().float() for name in self._names])
        self._sums = self._sums + count * self._latest
        fresh = (self._bad_example == _NEVER) & ~self._latest.isfinite()
        self._bad_example = torch.where(fresh, example, self._bad_example)

    def error(self) -> str | None:
        """A message about the first step with a loss that is not finite, or None. Collective."""
        earliest = [-negative for negative in self._ranks.maximum(*(-self._bad_example).tolist())]
        if (first := min(earliest)) == _NEVER:
            return None
        names = ", ".join(name for name, example in zip(self._names, earliest, strict=True) if example == first)
        return f"the loss {names} is not finite in the step from example {first} of this epoch on"

    def latest_and_sums(self) -> list[dict[str, float]]:
        """The losses of the last step, and the sums so far. Collective."""
        both = self._ranks.sum(torch.stack([self._latest, self._sums]))
        return [dict(zip(self._names, values, strict=True)) for values in both.tolist()]
