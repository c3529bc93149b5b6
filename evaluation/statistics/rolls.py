"""Frames and onsets of piano rolls, and baselines without latents for their code length."""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


def previous_frame(roll: Tensor) -> Tensor:
    """A roll (B, 128, T) shifted by one frame: silence, then all frames except the last."""
    return F.pad(roll[:, :, :-1], (1, 0))


def onsets(roll: Tensor) -> Tensor:
    """Cells of a boolean roll (B, 128, T) that sound but did not in the previous frame, or in the first frame."""
    return roll & ~previous_frame(roll)


class FrameBaselines(NamedTuple):
    """Bernoulli models: `rate` (keys,) of each key; `rate_after` (2, keys), after silence and after sound."""

    rate: Tensor
    rate_after: Tensor

    @classmethod
    def fit(cls, rolls: Iterable[Tensor]) -> "FrameBaselines":
        """Count over `rolls`, (B, keys, T) each. Half a cell is added to every count, so that no rate is 0 or 1."""
        frames = sounding = torch.zeros((), dtype=torch.float64)  # (2, keys)
        for roll in rolls:
            before = previous_frame(roll)
            after = torch.stack([1 - before, before])  # (2, B, keys, T)
            frames = frames + after.sum((1, 3)).cpu()
            sounding = sounding + (after * roll).sum((1, 3)).cpu()
        rate = (sounding.sum(0) + 0.5) / (frames.sum(0) + 1)
        rate_after = (sounding + 0.5) / (frames + 1)
        return cls(rate.float().to(roll.device), rate_after.float().to(roll.device))

    def nats(self, roll: Tensor) -> dict[str, Tensor]:
        """Code length in nats, (B,), of rolls (B, keys, T) under each model."""
        after = torch.lerp(self.rate_after[0, :, None], self.rate_after[1, :, None], previous_frame(roll))
        return {
            name: -(roll * rate.log() + (1 - roll) * torch.log1p(-rate)).sum((1, 2))
            for name, rate in (("pitch_mean", self.rate[:, None]), ("previous_frame", after))
        }
