"""Binary rolls as lists of notes and back. Rolls and valid lists correspond one to one.

A note is a maximal run of frames in which a pitch sounds: first frame, pitch, number of frames. Notes are ordered by
first frame, then pitch. A list is valid if first frames never decrease, pitches ascend within a frame, no note extends
beyond the roll, and no pitch begins while it sounds or in the next frame.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

# Notes to compute at a time, with padding: few, so that they need little of it, but enough to keep a device busy.
_AT_ONCE = {"cpu": 512, "cuda": 4096, "mps": 4096}


class Notes(NamedTuple):
    """Notes of B rolls, int64 (B, N): `onset` and `duration` in frames, and `pitch`, 0 in the padding; `count` (B,)."""

    onset: Tensor
    pitch: Tensor
    duration: Tensor
    count: Tensor

    @classmethod
    def empty(cls, batch: int, device: torch.device) -> "Notes":
        """`batch` rolls without notes."""
        nothing = torch.zeros(batch, 0, dtype=torch.int64, device=device)
        return cls(nothing, nothing, nothing, torch.zeros(batch, dtype=torch.int64, device=device))

    @classmethod
    def of_rows(cls, row: Tensor, fields: Sequence[Tensor], batch: int) -> "Notes":
        """From flat lists: ascending roll numbers `row`, int64 (M,); `fields` onsets, pitches and durations, (M,)."""
        count = torch.bincount(row, minlength=batch)
        place = torch.arange(len(row), device=row.device) - (count.cumsum(0) - count)[row]
        padded = [values.new_zeros(batch, int(count.max()) if batch else 0) for values in fields]
        for field, values in zip(padded, fields, strict=True):
            field[row, place] = values
        return cls(*padded, count)

    def present(self) -> Tensor:
        """Bool (B, N): False in the padding."""
        return torch.arange(self.onset.shape[1], device=self.onset.device) < self.count[:, None]

    def flat(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Roll number, onset, pitch and duration of all notes, int64 (M,) each; the inverse of `of_rows`."""
        row, note = self.present().nonzero().unbind(1)
        return row, *(field[row, note] for field in self[:3])

    def of(self, rows: Tensor) -> "Notes":
        """The notes of some rolls, int64 (b,), with padding to the longest of them."""
        longest = int(self.count[rows].max()) if len(rows) else 0
        return Notes(*(field[rows, :longest] for field in self[:3]), self.count[rows])


def roll_to_notes(roll: Tensor) -> Notes:
    """The notes of rolls (B, P, T), in which nonzero cells sound."""
    sounding = (roll != 0).transpose(1, 2)  # (B, T, P)
    batch, n_frames, pitches = sounding.shape
    begins = sounding & ~F.pad(sounding[:, :-1], (0, 0, 1, 0))
    ends = sounding & ~F.pad(sounding[:, 1:], (0, 0, 0, 1))
    # Both are ordered by roll, frame, pitch. Ordered by roll, pitch, frame the k-th end belongs to the k-th begin.
    row, onset, pitch = begins.nonzero().unbind(1)
    end_row, last, end_pitch = ends.nonzero().unbind(1)
    by_pitch = ((row * pitches + pitch) * n_frames + onset).argsort()
    ends_by_pitch = ((end_row * pitches + end_pitch) * n_frames + last).argsort()
    duration = torch.empty_like(onset)
    duration[by_pitch] = last[ends_by_pitch] - onset[by_pitch] + 1
    return Notes.of_rows(row, [onset, pitch, duration], batch)


def notes_to_roll(notes: Notes, pitches: int, n_frames: int) -> Tensor:
    """The rolls, bool (B, pitches, n_frames), of notes, which are cut at the end."""
    batch, (row, onset, pitch, duration) = len(notes.count), notes.flat()
    # A note is +1 at its onset and -1 after its end; the running sum is the roll.
    steps = torch.zeros(batch, pitches, n_frames + 1, dtype=torch.int32, device=onset.device)
    one = torch.ones_like(onset, dtype=torch.int32)
    steps.index_put_((row, pitch, onset.clamp_max(n_frames)), one, accumulate=True)
    steps.index_put_((row, pitch, (onset + duration).clamp_max(n_frames)), -one, accumulate=True)
    return steps[:, :, :n_frames].cumsum(2) > 0


def by_length(lengths: Tensor, compute: Callable[[Tensor], Tensor]) -> Tensor:
    """`compute(rows)` for all rows, in order, in batches of rows with similar `lengths` (B,), to save padding.

    A padded batch has at most `_AT_ONCE` elements, or one row.
    """
    at_once = _AT_ONCE[lengths.device.type]
    order = lengths.argsort()
    parts, first = [], 0
    for last, length in enumerate(lengths[order].tolist()):
        if last > first and length * (last - first + 1) > at_once:
            parts.append(order[first:last])
            first = last
    parts.append(order[first:])
    return torch.cat([compute(rows) for rows in parts])[order.argsort()]
