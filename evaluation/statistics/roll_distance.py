"""A distance between sets of piano rolls, cheap enough for choosing checkpoints.

The Fréchet distance between Gaussians fitted to a few musical statistics of each window, genre by genre. It is 0 for
equal sets, and ignores the order of notes.
"""

import torch
from torch import Tensor

from data.song import OCTAVE
from evaluation.statistics.distances import frechet_distance
from evaluation.statistics.rolls import onsets

# Keys a frame: otherwise octaves that hardly ever sound would outweigh all others.
MINIMUM_SCALE = 0.02


def roll_statistics(roll: Tensor) -> Tensor:
    """Statistics of binary windows (B, 128, T), float32 (B, 27).

    Twelve pitch classes and eleven octaves (mean number of sounding keys a frame), mean polyphony, share of silent
    frames, note onsets a frame, and the logarithm of the mean note length in frames.
    """
    per_pitch = roll.mean(dim=2)  # (B, 128)
    padded = torch.nn.functional.pad(per_pitch, (0, 11 * OCTAVE - per_pitch.shape[1]))
    by_octave = padded.view(-1, 11, OCTAVE)
    polyphony = roll.sum(dim=1)  # (B, T)
    n_notes = onsets(roll > 0).sum((1, 2))
    length = roll.sum((1, 2)) / n_notes.clamp_min(1)
    rest = [polyphony.mean(1), (polyphony == 0).float().mean(1), n_notes / roll.shape[2], torch.log1p(length)]
    return torch.cat([by_octave.sum(1), by_octave.sum(2), torch.stack(rest, dim=1)], dim=1)


def roll_distance(generated: Tensor, real: Tensor, generated_genre: Tensor, real_genre: Tensor) -> float:
    """Mean over genres of the Fréchet distance between `roll_statistics` (n, F) of generated and real windows.

    Each statistic is divided by its standard deviation over all real windows, at least by 0.02. Genres with fewer than
    two windows on a side are left out; if none is left, all windows are compared together.
    """
    scale = real.std(dim=0).clamp_min(MINIMUM_SCALE)
    distances = []
    for genre in real_genre.unique():
        pair = generated[generated_genre == genre], real[real_genre == genre]
        if min(map(len, pair)) >= 2:
            distances.append(frechet_distance(pair[0] / scale, pair[1] / scale))
    if not distances:
        return frechet_distance(generated / scale, real / scale)
    return sum(distances) / len(distances)
