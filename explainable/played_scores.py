"""Normal scores of the attributes of tokens on a device, for training: shapes are fixed, so the host never waits."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from explainable.attributes import RANGE_SEMITONES, onset_weights
from explainable.normal_scores import NormalScores
from explainable.tokens import TokenForm


class PlayedScores:
    """The numbers of `explainable.attributes.attributes` and `explainable.normal_scores.scores_of`."""

    def __init__(
        self, columns: Sequence[int], scores: Sequence[NormalScores], form: TokenForm, device: torch.device
    ) -> None:
        """`columns`: of the attributes; `scores`: of these, in their order."""
        # MPS has no float64.
        place = {"dtype": torch.float32 if device.type == "mps" else torch.float64, "device": device}
        weights = torch.from_numpy(onset_weights(form))
        self._weights = (weights / weights.sum()).to(**place)
        self._columns, self._rest = columns, form.rest
        self._knots = [tuple(torch.from_numpy(knot).to(**place) for knot in score) for score in scores]

    def __call__(self, tokens: Tensor) -> Tensor:
        """Normal scores, float32 (B, n), of the attributes of tokens int64 (B, length)."""
        values = self._attributes(tokens)
        each = [_interpolated(values[k], *knots) for k, knots in zip(self._columns, self._knots, strict=True)]
        return torch.stack(each, dim=1).float()

    def _attributes(self, tokens: Tensor) -> list[Tensor]:
        """All attributes, rounded to float32 as in a data set, (B,) each."""
        onset = tokens < self._rest
        count = onset.sum(1)
        several = count > 1
        top, bottom = tokens.where(onset, -1).amax(1), tokens.where(onset, self._rest).amin(1)
        # The place of the onset before each tick, -1 if there is none.
        place = torch.arange(tokens.shape[1], device=tokens.device).where(onset, -1)
        before = F.pad(place.cummax(1).values[:, :-1], (1, 0), value=-1)
        jump = (tokens - tokens.gather(1, before.clamp_min(0))).abs().where(onset & (before >= 0), 0)
        exact = self._weights.dtype
        values = [
            onset.to(exact) @ self._weights, ((top - bottom) / RANGE_SEMITONES).where(several, 0.0),
            count / tokens.shape[1], jump.sum(1) / (count - 1).clamp_min(1),
        ]  # fmt: skip
        return [value.float().to(exact) for value in values]


def _interpolated(values: Tensor, knots: Tensor, scores: Tensor) -> Tensor:
    """Linear between knots, ascending, (n,), and constant beyond them."""
    if len(knots) == 1:
        return scores.expand_as(values)
    above = torch.searchsorted(knots, values).clamp(1, len(knots) - 1)
    share = ((values - knots[above - 1]) / (knots[above] - knots[above - 1])).clamp(0, 1)
    return torch.lerp(scores[above - 1], scores[above], share)
