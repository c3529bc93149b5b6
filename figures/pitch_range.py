"""Which pitches a picture of piano rolls shows."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from data.song import OCTAVE

MIDDLE = 4 * OCTAVE  # where nothing sounds
_FEWEST = 2 * OCTAVE


class PitchRange(NamedTuple):
    """From `low`, a C, up to and without `high`, a C as well."""

    low: int
    high: int

    @property
    def octave_lines(self) -> list[int]:
        """Heights of the lower edges of the Cs inside, from the top of a picture."""
        return [self.high - pitch for pitch in range(self.low + OCTAVE, self.high, OCTAVE)]

    def __str__(self) -> str:
        return f"{note_name(self.low)} to {note_name(self.high)}"


def note_name(pitch: int) -> str:
    """"C4" for the C that is MIDI's 60."""
    return f"C{pitch // OCTAVE - 1}"


def pitch_range(rolls: Sequence[np.ndarray]) -> PitchRange:
    """The octaves in which any of the rolls, bool (128, T), sounds; at least two."""
    sounding = np.flatnonzero(np.any([roll.any(axis=1) for roll in rolls], axis=0))
    if not len(sounding):
        return PitchRange(MIDDLE, MIDDLE + _FEWEST)
    low = int(sounding[0]) // OCTAVE * OCTAVE
    return PitchRange(low, max((int(sounding[-1]) // OCTAVE + 1) * OCTAVE, low + _FEWEST))
