"""Frames and onsets of piano rolls."""

from torch import Tensor
from torch.nn import functional as F


def previous_frame(roll: Tensor) -> Tensor:
    """A roll (B, 128, T) shifted by one frame: silence, then all frames except the last."""
    return F.pad(roll[:, :, :-1], (1, 0))


def onsets(roll: Tensor) -> Tensor:
    """Cells of a boolean roll (B, 128, T) that sound but did not in the previous frame, or in the first frame."""
    return roll & ~previous_frame(roll)
