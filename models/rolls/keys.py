"""The keys that sound in a batch of rolls."""

import torch
from torch import Tensor


def sounding(frames: Tensor) -> slice:
    """The columns of frames (B, T, C), none negative, from the first to the last that is not 0 in all of them.

    Products with rolls need no others: music leaves a third to a half of the keys silent in whole batches. On other
    devices than CPUs these are all columns: the host would have to wait.
    """
    if frames.device.type != "cpu" or torch.compiler.is_compiling():
        return slice(0, frames.shape[2])
    used = frames.amax((0, 1)).nonzero()[:, 0].tolist()
    return slice(used[0], used[-1] + 1) if used else slice(0, 1)
