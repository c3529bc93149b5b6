"""A tune -> rows of tokens: moved into the range of pitches, quantised to ticks, cut into measures."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from explainable.melodies.tunes import Note, Reason, Tune, TuneError
from explainable.tokens import BEATS, PHRASE, TokenForm, encode, nearest_tick, tick_time

# Transpositions of the published AdversarialVAE; those of MeasureVAE are all that stay in the range of pitches.
_PHRASE_SHIFTS = (-5, 6)
# Reasons for leaving out a measure.
EMPTY_MEASURE = "without a note"
OFF_GRID_MEASURE = "off the grid"
OPEN_PHRASE = "left over by a row of several measures"


@dataclass(frozen=True, eq=False)
class Cut:
    """The rows of a tune.

    `tokens` int16 (rows, length). `number` int64 (rows,): the first measure of each row in the tune, from 0. `shift`:
    semitones that moved the tune into the range. `shifts`: lowest and highest transposition for training, relative to
    that. `dropped`: number of measures left out, by reason.
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
    shift, shifts = _shifts(tune.notes, form)
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
    rows = len(tokens) // form.measures
    whole = rows * form.measures
    dropped = {
        OFF_GRID_MEASURE: int((~on_grid).sum()),
        EMPTY_MEASURE: int((on_grid & ~is_kept).sum()),
        OPEN_PHRASE: len(tokens) - whole,
    }
    if not rows and len(tokens):
        raise TuneError(Reason.TOO_SHORT, f"{len(tokens)} measures with a note")
    if dropped[OFF_GRID_MEASURE] and not rows:
        raise TuneError(Reason.OFF_GRID, "every measure with a note")
    if not rows:
        raise TuneError(Reason.NO_NOTE)
    return Cut(tokens[:whole].reshape(rows, form.length), number[: whole : form.measures], shift, shifts, dropped)


def quantise(notes: Sequence[Note], form: TokenForm, tolerance: Fraction) -> tuple[list[Note], set[int]]:
    """Notes moved to the nearest ticks, and the measures off the grid.

    A note too far from any tick, or on the tick of an earlier note, is left out and its measure is off the grid. An
    end moves to the nearest tick after the onset.
    """
    placed: list[tuple[int, Note]] = []
    off: set[int] = set()
    for note in notes:
        tick, distance = nearest_tick(note.onset, form)
        if distance > tolerance or (placed and tick <= placed[-1][0]):
            off |= {int(note.onset // BEATS), int(tick_time(tick, form) // BEATS)}
            continue
        placed.append((tick, note))
    following = [tick for tick, _ in placed[1:]]
    moved = []
    for place, (tick, note) in enumerate(placed):
        # The ends of scores stay: encode() lets a rest begin on the first tick at or after the end.
        end = max(nearest_tick(note.end, form)[0], tick + 1) if tolerance else None
        if end is not None and place < len(following):
            end = min(end, following[place])
        moved.append(Note(tick_time(tick, form), note.pitch, note.end if end is None else tick_time(end, form)))
    return moved, off


def _shifts(notes: Sequence[Note], form: TokenForm) -> tuple[int, tuple[int, int]]:
    """The smallest shift into the range, and the lowest and highest further transposition."""
    lowest, highest = min(note.pitch for note in notes), max(note.pitch for note in notes)
    if highest - lowest > form.highest - form.lowest:
        raise TuneError(Reason.TOO_WIDE, f"{highest - lowest} semitones")
    down, up = form.lowest - lowest, form.highest - highest  # down <= shift <= up
    shift = min(max(0, down), up)
    limits = down - shift, up - shift
    if form.name == PHRASE.name:
        limits = max(limits[0], _PHRASE_SHIFTS[0]), min(limits[1], _PHRASE_SHIFTS[1])
    return shift, limits
