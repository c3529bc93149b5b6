"""Losses of an epoch, without a wait for the device in every step."""

import torch
from torch import Tensor


class EpochLosses:
    """Sums of the losses over the examples of an epoch, on the device, so that no step waits for it."""

    def __init__(self, sums: dict[str, float], device: torch.device) -> None:
        """`sums` of an interrupted epoch to go on with, or empty."""
        self._names = list(sums)
        self._sums = torch.tensor(list(sums.values()), device=device, dtype=torch.float32)
        self._bad_example = torch.tensor(-1, device=device)

    def add(self, losses: dict[str, Tensor], example: int, count: int) -> None:
        """Add the losses of a step, means over the `count` examples from `example` on."""
        if not self._names:
            self._names, self._sums = list(losses), self._sums.new_zeros(len(losses))
        self._latest = torch.stack([losses[name].detach().float() for name in self._names])
        self._sums = self._sums + count * self._latest
        fresh = (self._bad_example < 0) & ~self._latest.isfinite()
        self._bad_example = torch.where(fresh, example, self._bad_example)

    def error(self) -> str | None:
        """A message about the first step with a loss that is not finite, or None."""
        steps = dict(zip(self._names, self._bad_example.tolist(), strict=True))
        first = min((example for example in steps.values() if example >= 0), default=None)
        if first is None:
            return None
        names = ", ".join(name for name, example in steps.items() if example == first)
        return f"the loss {names} is not finite in the step from example {first} of this epoch on"

    def latest_and_sums(self) -> list[dict[str, float]]:
        return [dict(zip(self._names, values.tolist(), strict=True)) for values in (self._latest, self._sums)]
