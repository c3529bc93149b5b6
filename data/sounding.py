"""Make a bit-packed roll of sounding notes by unions of intervals; memory does not grow with overlapping notes.

Intervals are half-open. To handle the intervals of several rows (pitches, lists of controls) at once, each row gets
`span` numbers: key = row * span + frame, with frames below `span`.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

PITCHES = 128
BEND_RANGE_SEMITONES = 2.0
_PIECES_AT_ONCE = 1 << 18  # pieces, into which bends cut notes, in memory at a time


class Intervals(NamedTuple):
    """Frames `start` ... `end` - 1 in which `pitch` sounds, int64 (n,) each; `end` > `start`."""

    pitch: np.ndarray
    start: np.ndarray
    end: np.ndarray


class Bends(NamedTuple):
    """Pitch bends by list of controls and time, int64 (n,) each: `value` -8192 ... 8191 applies from `frame` on."""

    list_number: np.ndarray
    frame: np.ndarray
    value: np.ndarray


def packed_roll(notes: Intervals, list_of_note: np.ndarray, bends: Bends, n_frames: int) -> np.ndarray:
    """Return the roll, uint8 (n_frames, 16), of notes bent by the bends of their list, int64 (n,).

    `notes` may overlap and repeat. Bends after the roll's end have no effect.
    """
    bends = Bends(*(field[bends.frame < n_frames] for field in bends))
    if not bends.value.any():
        return _fill(notes, n_frames)
    frames = np.zeros((n_frames, PITCHES // 8), np.uint8)
    for pieces in _bent(notes, list_of_note, bends, n_frames):
        frames |= _fill(pieces, n_frames)
    return frames


def _fill(notes: Intervals, n_frames: int) -> np.ndarray:
    """Return the roll of `notes`, uint8 (n_frames, 16)."""
    pitch, start, end = _union(notes, n_frames + 1)
    changes = np.zeros((n_frames + 1, PITCHES), bool)
    # In a union no interval begins where another of the row ends, so every cell changes once at most.
    changes[start, pitch] = changes[end, pitch] = True
    packed = np.packbits(changes, axis=1).view(np.uint64)
    return np.bitwise_xor.accumulate(packed, axis=0)[:n_frames].view(np.uint8)


def _union(intervals: Intervals, span: int) -> Intervals:
    """Return the same frames in the fewest intervals, by row and start; `pitch` may be any row."""
    if not len(intervals.pitch):
        return intervals
    row_start = intervals.pitch * span
    first, last = row_start + intervals.start, row_start + intervals.end
    by_start = np.argsort(first)
    first, reach = first[by_start], np.maximum.accumulate(last[by_start])
    begins = np.append(True, first[1:] > reach[:-1])
    first, last = first[begins], reach[np.append(begins[1:], True)]
    row = first // span
    return Intervals(row, first - row * span, last - row * span)


def _bent(notes: Intervals, list_of_note: np.ndarray, bends: Bends, n_frames: int) -> Iterator[Intervals]:
    """Yield notes with pitch bends applied: whole semitones move a note, a remainder also sounds the next pitch."""
    span = n_frames + 1
    bends, whole, direction = _bend_steps(bends, span)
    bend_key = bends.list_number * span + bends.frame
    row, start, end = _union(Intervals(list_of_note * PITCHES + notes.pitch, notes.start, notes.end), span)
    row_list, pitch = row // PITCHES, row % PITCHES
    list_start = row_list * span
    first_bend = np.searchsorted(bend_key, list_start + start, side="right") - 1
    n_pieces = np.searchsorted(bend_key, list_start + end - 1, side="right") - first_bend
    batch = np.cumsum(n_pieces) // _PIECES_AT_ONCE
    for part in np.split(np.arange(len(row)), np.flatnonzero(np.diff(batch)) + 1):
        note = np.repeat(part, n_pieces[part])
        number = np.arange(len(note)) - np.repeat(np.cumsum(n_pieces[part]) - n_pieces[part], n_pieces[part])
        bend = first_bend[note] + number
        is_bent = (bend >= 0) & (bends.list_number[bend] == row_list[note])
        is_last = number == n_pieces[note] - 1
        piece_start = np.where(number == 0, start[note], bends.frame[bend])
        piece_end = np.where(is_last, end[note], bends.frame[np.minimum(bend + 1, len(bend_key) - 1)])
        moved = pitch[note] + whole[bend] * is_bent
        beside = moved + direction[bend] * is_bent
        on_keyboard = (moved >= 0) & (moved < PITCHES)
        between = on_keyboard & (beside != moved) & (beside >= 0) & (beside < PITCHES)
        yield Intervals(
            np.concatenate([moved[on_keyboard], beside[between]]),
            np.concatenate([piece_start[on_keyboard], piece_start[between]]),
            np.concatenate([piece_end[on_keyboard], piece_end[between]]),
        )


def _bend_steps(bends: Bends, span: int) -> tuple[Bends, np.ndarray, np.ndarray]:
    """Return the bends that change the sounding pitches; whole semitones and direction of the remainder, int64 (n,).

    The last bend in a frame counts.
    """
    key = bends.list_number * span + bends.frame
    last_of_frame = np.append(np.diff(key) != 0, True)
    bends = Bends(*(field[last_of_frame] for field in bends))
    semitones = BEND_RANGE_SEMITONES * bends.value / 8192.0
    whole = np.trunc(semitones).astype(np.int64)
    direction = np.sign(semitones - whole).astype(np.int64)
    steps = np.stack([bends.list_number, whole, direction])
    changed = np.append(True, (np.diff(steps, axis=1) != 0).any(axis=0))
    return Bends(*(field[changed] for field in bends)), whole[changed], direction[changed]
