"""A binary roll as the list of its notes, and back: each roll is one list, and each list that keeps the rules one roll.

A note is a maximal run of frames in which a pitch sounds: its first frame, its pitch, its number of frames. Notes are
ordered by first frame, then pitch. So a list keeps these rules: first frames do not fall; at the same frame pitches
ascend; no note lasts beyond the roll's end; and no pitch begins while it sounds, or in the very frame after.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

# Notes to compute at a time, with the padding to the longest of their rolls: enough for a processor, not much more.
_AT_ONCE = 4096


class Notes(NamedTuple):
    """Notes of B rolls, int64 (B, N) each: `onset` and `duration` in frames, and `pitch`; `count` (B,) int64.

    Beyond a roll's own count all three are 0.
    """

    onset: Tensor
    pitch: Tensor
    duration: Tensor
    count: Tensor

    @classmethod
    def of_rows(cls, row: Tensor, fields: Sequence[Tensor], batch: int) -> "Notes":
        """Notes one after another: the roll of each, int64 (M,), ascending, and onsets, pitches and durations (M,)."""
        count = torch.bincount(row, minlength=batch)
        place = torch.arange(len(row), device=row.device) - (count.cumsum(0) - count)[row]
        padded = [values.new_zeros(batch, int(count.max()) if batch else 0) for values in fields]
        for field, values in zip(padded, fields, strict=True):
            field[row, place] = values
        return cls(*padded, count)

    def of(self, rows: Tensor) -> "Notes":
        """Those of some rolls, int64 (b,), no longer than the longest of them needs."""
        longest = int(self.count[rows].max()) if len(rows) else 0
        return Notes(*(field[rows, :longest] for field in self[:3]), self.count[rows])


def notes_of(roll: Tensor) -> Notes:
    """The notes of rolls (B, P, T), where a cell that is not 0 sounds."""
    sounding = (roll != 0).transpose(1, 2)  # (B, T, P)
    batch, n_frames, pitches = sounding.shape
    begins = sounding & ~F.pad(sounding[:, :-1], (0, 0, 1, 0))
    ends = sounding & ~F.pad(sounding[:, 1:], (0, 0, 0, 1))
    # Both in the order of roll, frame, pitch. By roll, pitch and frame the k-th end belongs to the k-th begin.
    row, onset, pitch = begins.nonzero().unbind(1)
    end_row, last, end_pitch = ends.nonzero().unbind(1)
    by_pitch = ((row * pitches + pitch) * n_frames + onset).argsort()
    ends_by_pitch = ((end_row * pitches + end_pitch) * n_frames + last).argsort()
    duration = torch.empty_like(onset)
    duration[by_pitch] = last[ends_by_pitch] - onset[by_pitch] + 1
    return Notes.of_rows(row, [onset, pitch, duration], batch)


def roll_of(notes: Notes, pitches: int, n_frames: int) -> Tensor:
    """The rolls, bool (B, pitches, n_frames), of notes; what lasts beyond the end is cut."""
    batch, longest = notes.onset.shape
    place = torch.arange(longest, device=notes.onset.device)
    row, note = (place < notes.count[:, None]).nonzero().unbind(1)
    onset, pitch, duration = (field[row, note] for field in notes[:3])
    # A note is a step up at its onset and a step down after its end: their running sum is the roll.
    steps = torch.zeros(batch, pitches, n_frames + 1, dtype=torch.int32, device=onset.device)
    one = torch.ones_like(onset, dtype=torch.int32)
    steps.index_put_((row, pitch, onset.clamp_max(n_frames)), one, accumulate=True)
    steps.index_put_((row, pitch, (onset + duration).clamp_max(n_frames)), -one, accumulate=True)
    return steps[:, :, :n_frames].cumsum(2) > 0


def by_length(lengths: Tensor, compute: Callable[[Tensor], Tensor]) -> Tensor:
    """`compute(rows)` of all rows, in their order, asked for rows of like length (B,) together.

    So little is computed for padding.
    """
    parts = split_by_length(lengths, _AT_ONCE)
    return torch.cat([compute(rows) for rows in parts])[torch.cat(parts).argsort()]


def split_by_length(lengths: Tensor, most: int) -> list[Tensor]:
    """Rows by length, int64, in parts that padded to their longest have at most `most` places, or one row."""
    order = lengths.argsort()
    parts, first = [], 0
    sorted_lengths = lengths[order].tolist()
    for last, length in enumerate(sorted_lengths):
        if last > first and length * (last - first + 1) > most:
            parts.append(order[first:last])
            first = last
    return [*parts, order[first:]]
