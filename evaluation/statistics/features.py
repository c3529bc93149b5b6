"""Musical features of piano rolls, one value per clip.

Notes are runs of sounding frames: a note that began before the clip begins with the clip.
Polyphony, pitch classes, pitch range, scale consistency and pitch-class entropy are defined as in MusPy (Dong et al.,
"MusPy: A Toolkit for Symbolic Music Generation", ISMIR 2020), which gives the sources of each.
"""

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from data.song import OCTAVE

# The pitch classes of each scale, float64 (12 scales, 12 pitch classes) of 0 and 1.
MAJOR_SCALES = torch.tensor(
    [[(pitch - root) % OCTAVE in (0, 2, 4, 5, 7, 9, 11) for pitch in range(OCTAVE)] for root in range(OCTAVE)]
).double()
BLOCK_SECONDS = 0.5


class Feature(NamedTuple):
    """`bin_width`, in `unit`, of the histograms in which distributions are compared."""

    unit: str
    bin_width: float


# In the order of the table.
FEATURES = {
    "empty": Feature("share of clips", 1),  # 0 or 1
    "silent_frames": Feature("share of frames", 0.05),
    "note_density": Feature("onsets/s", 1),
    "onset_frames": Feature("share of frames", 0.05),  # those in which a note begins
    "chord_size": Feature("onsets", 0.25),  # a frame, in the frames with onsets
    "onset_follows": Feature("share of frames", 0.05),  # of those with onsets: directly after another one with onsets
    "polyphony": Feature("keys at once", 0.5),  # in the frames that are not silent
    "note_length": Feature("s", 1 / 16),  # mean over the notes of a clip
    "pitch_range": Feature("semitones", 3),  # from the lowest key to the highest
    "pitch_classes": Feature("of 12", 1),
    "pitch_class_entropy": Feature("bits", 0.125),  # each note counts once; log2(12) = 3.58 at most
    "scale_consistency": Feature("share of notes", 0.025),  # those in the major scale that fits best
    "repetition": Feature("0 ... 1", 0.05),
    "beat": Feature("share of power", 0.025),  # of one frequency in the spectrum of the numbers of onsets
    "likeness": Feature("0 ... 1", 0.05),  # of the seconds of a clip
}


def previous_frame(roll: Tensor) -> Tensor:
    """A roll (B, 128, T) shifted by one frame: silence, then all frames except the last."""
    return F.pad(roll[:, :, :-1], (1, 0))


def onsets(roll: Tensor) -> Tensor:
    """Cells of a boolean roll (B, 128, T) that sound but did not in the previous frame, or in the first frame."""
    return roll & ~previous_frame(roll)


def musical_features(rolls: Tensor, frames_per_second: float) -> dict[str, Tensor]:
    """Every feature of `FEATURES` for boolean clips (n, 128, T): float64 (n,) each, NaN for undefined values.

    Without notes only empty, silent_frames, note_density, onset_frames and pitch_classes are defined. The scales are
    the twelve major ones, which have the same notes as the natural minor ones.
    """
    frames = rolls.shape[2]
    onset = onsets(rolls)
    notes_of_pitch = onset.sum(2).double()  # (n, 128)
    n_notes = notes_of_pitch.sum(1)
    begins = onset.any(1)  # (n, T)
    onset_frames = begins.sum(1).double()
    keys = rolls.sum(1)  # (n, T)
    sounding_frames = (keys > 0).sum(1).double()
    n_cells = keys.sum(1).double()
    by_class = F.pad(notes_of_pitch, (0, -rolls.shape[1] % OCTAVE)).unflatten(1, (-1, OCTAVE)).sum(1)  # (n, 12)
    share = by_class / n_notes[:, None]
    used = notes_of_pitch > 0
    lowest, from_top = used.int().argmax(1), used.flip(1).int().argmax(1)
    return {
        "empty": (n_notes == 0).double(),
        "silent_frames": 1 - sounding_frames / frames,
        "note_density": n_notes * frames_per_second / frames,
        "onset_frames": onset_frames / frames,
        "chord_size": n_notes / onset_frames,
        "onset_follows": (begins[:, 1:] & begins[:, :-1]).sum(1) / onset_frames,
        "polyphony": n_cells / sounding_frames,
        "note_length": n_cells / n_notes / frames_per_second,
        "pitch_range": (rolls.shape[1] - 1 - from_top - lowest).double().masked_fill(n_notes == 0, torch.nan),
        "pitch_classes": (by_class > 0).sum(1).double(),
        "pitch_class_entropy": torch.special.entr(share).sum(1) / math.log(2),
        "scale_consistency": (share @ MAJOR_SCALES.t()).amax(1),
        "repetition": repetition(onset, max(1, round(BLOCK_SECONDS * frames_per_second))),
        "beat": beat(onset),
        "likeness": likeness(rolls, round(frames_per_second)),
    }


def beat(onset: Tensor) -> Tensor:
    """Strength of the beat, float64 (n,) in (0, 1], for onsets bool (n, 128, T).

    The largest share that one of the T / 2 frequencies has in the power of the number of onsets over time; without a
    rhythm about (0.6 + log(T / 2)) / (T / 2). NaN if the number does not change.
    """
    counts = onset.sum(1).double()
    spectrum = np.fft.rfft(counts - counts.mean(1, keepdim=True))  # the tensors' own refuses 0 clips
    power = torch.from_numpy(np.abs(spectrum) ** 2)[:, 1:]
    return power.amax(1) / power.sum(1)


def likeness(rolls: Tensor, second: int) -> Tensor:
    """Mean cosine of two seconds of a clip as the frames that each key sounds, float64 (n,), for bool (n, 128, T).

    Of all pairs of seconds that are not silent; NaN without such a pair. `second` is in frames.
    """
    whole = rolls[:, :, : rolls.shape[2] // second * second]
    keys = F.normalize(whole.unflatten(2, (-1, second)).sum(3).double(), dim=1)  # (n, 128, seconds)
    n_sounding = keys.any(1).sum(1)
    both_ways = keys.sum(2).square().sum(1) - n_sounding
    return (both_ways / (n_sounding * (n_sounding - 1))).masked_fill(n_sounding < 2, torch.nan)


def repetition(onset: Tensor, block: int) -> Tensor:
    """Share of a clip that repeats earlier parts of it, float64 (n,) in [0, 1], for onsets bool (n, 128, T).

    Each block of `block` frames after the first is compared with every earlier span of as many frames, so that tempo
    and beat need not be known. Similarity is the Dice coefficient of the onsets, 2 |A and B| / (|A| + |B|), where equal
    onsets have the same pitch and differ by at most one frame. The result is the mean over blocks with an onset of the
    similarity to the most similar span; NaN without such blocks. Silence and held notes have no onset.
    """
    frames = onset.shape[2]
    starts = torch.arange(block, frames - block + 1, block)
    spans = frames - block + 1
    cells = onset.float()
    near = F.max_pool1d(cells, 3, stride=1, padding=1)
    found = cells.mT @ near  # (n, T, T): onsets of one frame within a frame of another
    both_ways = found + found.mT
    hits = sum(both_ways[:, starts + frame, frame : frame + spans] for frame in range(block))  # (n, blocks, spans)
    count = cells.sum(1).unfold(1, block, 1).sum(2)  # (n, spans)
    similarity = hits / (count[:, starts, None] + count[:, None, :]).clamp_min(1)
    ends_before = torch.arange(spans) <= starts[:, None] - block
    best = similarity.masked_fill(~ends_before, 0).amax(2).double()
    has_onset = count[:, starts] > 0
    return (best * has_onset).sum(1) / has_onset.sum(1)


def f1(hits: float, found: float, true: float) -> float:
    """F1 of counts, 2 hits / (found + true); 1 if both rolls are empty."""
    return 2 * hits / (found + true) if found + true else 1.0


def count(found: Tensor, true: Tensor) -> list[Tensor]:
    """Number of cells (or onsets) in both boolean rolls (B, 128, T), in `found` and in `true`, (B,) each."""
    return [cells.sum((1, 2)).float() for cells in (found & true, found, true)]
