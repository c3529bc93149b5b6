"""Baselines without latents for the code length of rolls."""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from evaluation.statistics.rolls import previous_frame


class FrameBaselines(NamedTuple):
    """Bernoulli models: `rate` (keys,) of each key; `rate_after` (2, keys), after silence and after sound."""

    rate: Tensor
    rate_after: Tensor

    @classmethod
    def fit(cls, rolls: Iterable[Tensor]) -> "FrameBaselines":
        """Count over `rolls`, (B, keys, T) each. Half a cell is added to every count, so that no rate is 0 or 1."""
        frames = sounding = torch.zeros((), dtype=torch.float64)  # after silence, after sound: (2, keys)
        for roll in rolls:
            before = previous_frame(roll)
            frames = frames + torch.stack([(1 - before).sum((0, 2)), before.sum((0, 2))]).cpu()
            sounding = sounding + torch.stack([((1 - before) * roll).sum((0, 2)), (before * roll).sum((0, 2))]).cpu()
        rate = (sounding.sum(0) + 0.5) / (frames.sum(0) + 1)
        rate_after = (sounding + 0.5) / (frames + 1)
        return cls(rate.float().to(roll.device), rate_after.float().to(roll.device))

    def nats(self, roll: Tensor) -> dict[str, Tensor]:
        """Code length in nats, (B,), of rolls (B, keys, T) under each model."""
        before = previous_frame(roll)
        after = torch.lerp(self.rate_after[0, :, None], self.rate_after[1, :, None], before)
        return {"pitch_mean": _code_length(self.rate[:, None], roll), "previous_frame": _code_length(after, roll)}


def _code_length(rate: Tensor, roll: Tensor) -> Tensor:
    return -(roll * rate.log() + (1 - roll) * torch.log1p(-rate)).sum((1, 2))
