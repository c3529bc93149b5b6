"""Piano rolls seen frame by frame."""

from torch import Tensor
from torch.nn import functional as F


def previous_frame(roll: Tensor) -> Tensor:
    """A roll (B, 128, T) one frame later: silence, then every frame but the last."""
    return F.pad(roll[:, :, :-1], (1, 0))


def onsets(roll: Tensor) -> Tensor:
    """Cells of a boolean roll (B, 128, T) that sound and did not in the frame before; also in the first frame."""
    return roll & ~previous_frame(roll)
