"""A tune -> rows of tokens: moved into the range of pitches, quantised to ticks, cut into measures."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import zip_longest

import numpy as np

from explainable.melodies.tunes import Note, Reason, Tune, TuneError
from explainable.tokens import BEATS, PHRASE, TokenForm, encode, tick_time, ticks_near

# Transpositions of the published AdversarialVAE; those of MeasureVAE are all that stay in the range of pitches.
_PHRASE_SHIFTS = (-5, 6)
# Reasons for leaving out a measure.
EMPTY_MEASURE = "without a note"
OFF_GRID_MEASURE = "off the grid"
OPEN_PHRASE = "left over by a row of several measures"


@dataclass(frozen=True, eq=False)
class Cut:
    """The rows of a tune. `tokens` int16 (rows, length). `number` int64 (rows,): the first measure of each in the tune.

    `shift`: semitones that moved the tune into the range. `shifts`: lowest and highest transposition for training,
    relative to that. `dropped`: number of measures left out, by reason.
    """

    tokens: np.ndarray
    number: np.ndarray
    shift: int
    shifts: tuple[int, int]
    dropped: dict[str, int]


def cut(tune: Tune, form: TokenForm, *, tolerance: Fraction, drop_tune_off_grid: bool, keep_empty: bool) -> Cut:
    """Cut a tune into rows of `form`.

    A tune outside the range of pitches is moved by the fewest semitones. Onsets move to the nearest tick if it is at
    most `tolerance` (quarters) away. A measure with any other onset, or with two onsets on one tick, is left out; with
    `drop_tune_off_grid` the whole tune is. Measures without an onset are left out unless `keep_empty`. Raises
    `TuneError` if nothing is left.
    """
    lowest, highest = min(note.pitch for note in tune.notes), max(note.pitch for note in tune.notes)
    if highest - lowest > form.highest - form.lowest:
        raise TuneError(Reason.TOO_WIDE, f"{highest - lowest} semitones")
    down, up = form.lowest - lowest, form.highest - highest  # down <= shift <= up
    shift = min(max(0, down), up)
    shifts = down - shift, up - shift
    if form.name == PHRASE.name:
        shifts = max(shifts[0], _PHRASE_SHIFTS[0]), min(shifts[1], _PHRASE_SHIFTS[1])
    notes, off = quantise(tune.notes, form, tolerance)
    if off and drop_tune_off_grid:
        raise TuneError(Reason.OFF_GRID, f"in measure {min(off) + 1}")
    moved = [note._replace(pitch=note.pitch + shift) for note in notes]
    first = int(tune.start // BEATS)
    tokens = encode(moved, form, start=tune.start, end=max(tune.end, notes[-1].end if notes else tune.end))
    number = np.arange(first, first + len(tokens))
    on_grid = ~np.isin(number, sorted(off))
    is_kept = on_grid & (keep_empty | (tokens < form.rest).any(axis=1))
    tokens, number = tokens[is_kept], number[is_kept] - first
    rows, left_over = divmod(len(tokens), form.measures)
    dropped = {
        OFF_GRID_MEASURE: int((~on_grid).sum()),
        EMPTY_MEASURE: int((on_grid & ~is_kept).sum()),
        OPEN_PHRASE: left_over,
    }
    if not rows and left_over:
        raise TuneError(Reason.TOO_SHORT, f"{left_over} measures with a note")
    if not rows and dropped[OFF_GRID_MEASURE]:
        raise TuneError(Reason.OFF_GRID, "every measure with a note")
    if not rows:
        raise TuneError(Reason.NO_NOTE)
    whole = slice(rows * form.measures)
    return Cut(tokens[whole].reshape(rows, form.length), number[whole][:: form.measures], shift, shifts, dropped)


def quantise(notes: Sequence[Note], form: TokenForm, tolerance: Fraction) -> tuple[list[Note], set[int]]:
    """Notes moved to the nearest ticks, and the measures off the grid.

    A note too far from any tick, or on the tick of an earlier note, is left out and its measure is off the grid. An
    end moves to the nearest tick after the onset.
    """
    placed: list[tuple[int, Note]] = []
    off: set[int] = set()
    for note in notes:
        _, tick, distance = ticks_near(note.onset, form)
        if distance > tolerance or (placed and tick <= placed[-1][0]):
            off |= {int(note.onset // BEATS), int(tick_time(tick, form) // BEATS)}
            continue
        placed.append((tick, note))
    if not tolerance:  # the ends of scores stay: encode() lets a rest begin on the first tick at or after the end
        return [note._replace(onset=tick_time(tick, form)) for tick, note in placed], off
    moved = []
    for (tick, note), following in zip_longest(placed, (tick for tick, _ in placed[1:])):
        end = max(ticks_near(note.end, form)[1], tick + 1)
        end = end if following is None else min(end, following)
        moved.append(Note(tick_time(tick, form), note.pitch, tick_time(end, form)))
    return moved, off
