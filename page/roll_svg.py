"""Small pictures of piano rolls as SVG, to stand inside a page and take its colours."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from data.pianoroll import roll_notes

OCTAVE = 12


class PitchRange(NamedTuple):
    """From `low`, a C, up to and without `high`, a C as well."""

    low: int
    high: int

    @property
    def octave_lines(self) -> list[int]:
        """Heights of the lower edges of the Cs inside, from the top of a picture."""
        return [self.high - pitch for pitch in range(self.low + OCTAVE, self.high, OCTAVE)]

    def __str__(self) -> str:
        return f"C{self.low // OCTAVE - 1} to C{self.high // OCTAVE - 1}"


def pitch_range(rolls: Sequence[np.ndarray]) -> PitchRange:
    """The octaves in which any of the rolls, bool (128, T), sounds; two in the middle where none does."""
    sounding = np.flatnonzero(np.any([roll.any(axis=1) for roll in rolls], axis=0))
    if not len(sounding):
        return PitchRange(4 * OCTAVE, 6 * OCTAVE)
    return PitchRange(int(sounding[0]) // OCTAVE * OCTAVE, (int(sounding[-1]) // OCTAVE + 1) * OCTAVE)


def note_path(roll: np.ndarray, pitches: PitchRange) -> str:
    """The notes of a roll, bool (128, T), as data of an SVG path: a box each, a frame wide and a pitch high as 1."""
    notes = zip(*(field.tolist() for field in roll_notes(roll)), strict=True)
    return "".join(f"M{start} {pitches.high - 1 - pitch}h{end - start}v1h{start - end}z" for pitch, start, end in notes)
