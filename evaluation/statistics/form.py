"""Form of pieces of several minutes: their features minute by minute, and the likeness of their windows.

Pieces are boolean rolls (n, 128, frames). Sizes are in frames: of a minute, of a window, of a step in a profile.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from data.song import OCTAVE
from evaluation.statistics.features import onsets

FORM_FEATURES = (
    "note_density",  # onsets/s
    "silent_frames",  # share of frames
    "sounding_keys",  # at once, mean over all frames, also silent ones
    "pitch_classes",  # of 12 in a window, mean over windows
)


def minute_features(pieces: Tensor, minute: int, window: int, frames_per_second: int) -> dict[str, Tensor]:
    """Each of `FORM_FEATURES`, float64 (n, minutes). What follows the last whole minute is left out."""
    minutes = pieces.shape[2] // minute
    keys = pieces.sum(1)[:, : minutes * minute].unflatten(1, (minutes, minute)).double()
    begins = onsets(pieces).sum(1)[:, : minutes * minute].unflatten(1, (minutes, minute)).double()
    sounds = minute_windows(pieces, minute, window).any(4)  # (n, minutes, windows, 128)
    classes = F.pad(sounds, (0, -sounds.shape[3] % OCTAVE)).unflatten(3, (-1, OCTAVE)).any(3)
    values = (
        begins.mean(2) * frames_per_second,
        (keys == 0).double().mean(2),
        keys.mean(2),
        classes.sum(3).double().mean(2),
    )
    return dict(zip(FORM_FEATURES, values, strict=True))


def minute_windows(pieces: Tensor, minute: int, window: int) -> Tensor:
    """The whole windows of each minute, bool (n, minutes, windows, 128, window)."""
    minutes, windows = pieces.shape[2] // minute, minute // window
    of_minutes = pieces[:, :, : minutes * minute].unflatten(2, (minutes, minute))[..., : windows * window]
    return of_minutes.unflatten(3, (windows, window)).movedim(1, 3)


def window_profiles(pieces: Tensor, window: int, step: int) -> Tensor:
    """A unit vector for each window of each piece, float64 (n, windows, 12 * window / step); 0 for a silent window.

    It has the number of sounding cells of each pitch class in each step.
    """
    windows = pieces.shape[2] // window
    keys = F.pad(pieces, (0, 0, 0, -pieces.shape[1] % OCTAVE))[:, :, : windows * window]
    cells = keys.unflatten(1, (-1, OCTAVE)).sum(1).unflatten(2, (windows, -1, step)).sum(4)  # (n, 12, windows, steps)
    return F.normalize(cells.double().movedim(2, 1).flatten(2), dim=2)


def self_similarity(profiles: Tensor) -> tuple[float, float]:
    """Mean cosine of two windows of one piece, and of two windows of different pieces, from (n, windows, D).

    The second is the mean self-similarity of pieces whose windows are drawn from different pieces. NaN without such a
    pair.
    """
    n, windows = profiles.shape[:2]
    of_piece = profiles.sum(1)
    own = profiles.square().sum()  # of each window with itself
    within = of_piece.square().sum() - own
    between = of_piece.sum(0).square().sum() - of_piece.square().sum()
    pairs = torch.tensor([n * windows * (windows - 1), n * (n - 1) * windows**2])
    same, other = (torch.stack([within, between]) / pairs).masked_fill(pairs == 0, torch.nan).tolist()
    return same, other
