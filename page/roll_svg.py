"""Small pictures of piano rolls as SVG, to stand inside a page and take its colours."""

import numpy as np

from data.pianoroll import roll_notes
from figures.pitch_range import PitchRange


def note_path(roll: np.ndarray, pitches: PitchRange) -> str:
    """The notes of a roll, bool (128, T), as data of an SVG path: a box each, a frame wide and a pitch high as 1."""
    notes = zip(*(field.tolist() for field in roll_notes(roll)), strict=True)
    return "".join(f"M{start} {pitches.high - 1 - pitch}h{end - start}v1h{start - end}z" for pitch, start, end in notes)
