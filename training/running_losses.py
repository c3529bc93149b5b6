"""The losses of an epoch, summed on the device, so that no step waits for it."""

import torch
from torch import Tensor

from common.errors import UserError


class RunningLosses:
    """Sums of the losses of an epoch over its examples, and the first example of a step that was not finite."""

    def __init__(self, sums: dict[str, float], device: torch.device) -> None:
        self._names = list(sums)
        self._sums = torch.tensor(list(sums.values()), device=device, dtype=torch.float32)
        self._latest = self._sums
        self._bad_example = torch.full((len(sums),), -1, device=device)

    def add(self, losses: dict[str, Tensor], example: int, count: int) -> None:
        """Losses of a step, means over `count` examples from `example` on."""
        self._latest = torch.stack([losses[name].detach().float() for name in self._names])
        self._sums = self._sums + count * self._latest
        fresh = (self._bad_example < 0) & ~self._latest.isfinite()
        self._bad_example = torch.where(fresh, example, self._bad_example)

    def check(self) -> None:
        """Raise `UserError` naming loss and place if one was not finite."""
        bad = {name: at for name, at in zip(self._names, self._bad_example.tolist(), strict=True) if at >= 0}
        if bad:
            first = min(bad.values())
            names = ", ".join(name for name, at in bad.items() if at == first)
            raise UserError(f"the loss {names} is not finite in the step from example {first} of this epoch on")

    def latest(self) -> dict[str, float]:
        return dict(zip(self._names, self._latest.tolist(), strict=True))

    def sums(self) -> dict[str, float]:
        return dict(zip(self._names, self._sums.tolist(), strict=True))
