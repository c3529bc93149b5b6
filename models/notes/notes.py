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

_AT_ONCE = 512  # notes that a CPU computes at a time, with padding: few, so that they need little of it
# Of other devices. Music at T = 128 has two places for a note then, instead of three (measured), and ten shapes.
_PARTS, _STEP = 2, 32


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

    def of(self, rows: Tensor, longest: int | None = None) -> "Notes":
        """The notes of some rolls, int64 (b,), with padding to `longest`, or to the longest of them."""
        if longest is None:
            longest = int(self.count[rows].max()) if len(rows) else 0
        return Notes(*(field[rows, :longest] for field in self[:3]), self.count[rows])


def onsets(sounding: Tensor) -> Tensor:
    """The cells in which notes begin, of cells that sound, bool (B, T, P)."""
    return sounding & ~F.pad(sounding[:, :-1], (0, 0, 1, 0))


def roll_to_notes(roll: Tensor, most: int | None = None) -> Notes:
    """The notes of rolls (B, P, T), in which nonzero cells sound.

    `most`: places for notes, no fewer than the longest list has. Without it the host counts, and waits for a device.
    """
    sounding = (roll != 0).transpose(1, 2)  # (B, T, P)
    batch, n_frames, pitches = sounding.shape
    begins = onsets(sounding)
    so_far = begins.flatten(1).cumsum(1, dtype=torch.int32)
    count = so_far[:, -1].long()
    if most is None:
        most = int(count.max()) if batch else 0
    # The k-th note is in the first cell with k notes so far: ordered by frame, then pitch.
    number = torch.arange(1, most + 1, dtype=torch.int32, device=roll.device).expand(batch, -1).contiguous()
    present = number <= count[:, None]
    cell = torch.searchsorted(so_far, number).where(present, 0)
    onset, pitch = cell // pitches, cell % pitches
    silent = ~sounding.transpose(1, 2).gather(1, pitch[..., None].expand(-1, -1, n_frames))  # (B, most, T)
    ended = silent & (torch.arange(n_frames, device=roll.device) > onset[..., None])
    last = torch.where(ended.any(2), ended.to(torch.uint8).argmax(2), n_frames)
    return Notes(onset, pitch, (last - onset).where(present, 0), count)


def count_notes(roll: Tensor) -> Tensor:
    """The number of notes of rolls (B, P, T), int64 (B,)."""
    sounding = roll != 0
    return (sounding & ~F.pad(sounding[:, :, :-1], (1, 0))).sum((1, 2))


def notes_to_roll(notes: Notes, pitches: int, n_frames: int) -> Tensor:
    """The rolls, bool (B, pitches, n_frames), of notes, which are cut at the end."""
    batch, (row, onset, pitch, duration) = len(notes.count), notes.flat()
    # A note is +1 at its onset and -1 after its end; the running sum is the roll.
    steps = torch.zeros(batch, pitches, n_frames + 1, dtype=torch.int32, device=onset.device)
    one = torch.ones_like(onset, dtype=torch.int32)
    steps.index_put_((row, pitch, onset.clamp_max(n_frames)), one, accumulate=True)
    steps.index_put_((row, pitch, (onset + duration).clamp_max(n_frames)), -one, accumulate=True)
    return steps[:, :, :n_frames].cumsum(2) > 0


class Part(NamedTuple):
    """Rows to compute together: their places in the order of lengths, and the padded length, which none exceeds."""

    places: slice
    length: int


def parts_by_length(lengths: Tensor, device: torch.device) -> list[Part]:
    """How to divide rows of `lengths`, int64 (B,) on the host, into batches of similar lengths, to save padding.

    On a CPU a padded batch has at most `_AT_ONCE` elements, or one row. Other devices take `_PARTS` batches, whose
    lengths are multiples of `_STEP`: they get few different shapes.
    """
    ordered = lengths.sort().values.tolist()
    if device.type != "cpu":
        n = -(-len(ordered) // _PARTS)
        rows = (slice(first, first + n) for first in range(0, len(ordered), n))
        return [Part(each, -(-ordered[each][-1] // _STEP) * _STEP) for each in rows]
    parts, first = [], 0
    for last, length in enumerate(ordered):
        if last > first and length * (last - first + 1) > _AT_ONCE:
            parts.append(Part(slice(first, last), ordered[last - 1]))
            first = last
    return [*parts, Part(slice(first, None), ordered[-1])]


def by_length(lengths: Tensor, parts: list[Part], compute: Callable[[Tensor, int], Tensor]) -> Tensor:
    """`compute(rows, length)` for all rows, in order, part by part; `lengths` (B,) on their device.

    The parts may be of larger lengths than these, row by row.
    """
    order = lengths.argsort()
    computed = [compute(order[part.places], part.length) for part in parts]
    return torch.cat(computed)[order.argsort()]
