"""The range of pitches that a picture of piano rolls shows."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from data.song import OCTAVE

MIDDLE = 4 * OCTAVE  # the lowest pitch in a picture of empty rolls
_FEWEST = 2 * OCTAVE


class PitchRange(NamedTuple):
    """From `low` up to, but not including, `high`; both are a C."""

    low: int
    high: int

    @property
    def octave_lines(self) -> list[int]:
        """Distances of the inner Cs from the top of a picture, in pitches."""
        return [self.high - pitch for pitch in range(self.low + OCTAVE, self.high, OCTAVE)]

    def __str__(self) -> str:
        return f"{note_name(self.low)} to {note_name(self.high)}"


def note_name(pitch: int) -> str:
    """Name of a C; MIDI pitch 60 is "C4"."""
    return f"C{pitch // OCTAVE - 1}"


def pitch_range(rolls: Sequence[np.ndarray]) -> PitchRange:
    """The octaves in which any of the rolls, bool (128, T), has a note; at least two."""
    sounding = np.flatnonzero(np.any([roll.any(axis=1) for roll in rolls], axis=0))
    if not len(sounding):
        return PitchRange(MIDDLE, MIDDLE + _FEWEST)
    low = int(sounding[0]) // OCTAVE * OCTAVE
    return PitchRange(low, max((int(sounding[-1]) // OCTAVE + 1) * OCTAVE, low + _FEWEST))
