"""Four attributes of measures, for all measures at once (defined by Pati and Lerch 2019, Banar et al. 2023)."""

from fractions import Fraction

import numpy as np

from common.errors import UserError
from explainable.tokens import BEATS, MEASURE, TokenForm

# In the order of the latent dimensions that they are given to when all four are regularised.
RHYTHMIC_COMPLEXITY, NOTE_RANGE, NOTE_DENSITY, AVERAGE_INTERVAL_JUMP = ATTRIBUTES = (
    "rhythmic_complexity",
    "note_range",
    "note_density",
    "average_interval_jump",
)
_RANGE_SEMITONES = 26
# The weaker the place in the metre, the more complex is an onset there. Sum over a measure of 24 ticks: 27.79.
_WEIGHT_OF_BEAT = (0.20, 0.67, 0.25, 0.67)
_WEIGHT_OF_PLACE = {
    Fraction(1, 4): 1.0,
    Fraction(1, 3): 2.0,
    Fraction(1, 2): 0.5,
    Fraction(2, 3): 2.0,
    Fraction(3, 4): 1.0,
}


def attributes(tokens: np.ndarray, form: TokenForm = MEASURE) -> np.ndarray:
    """The attributes of each row of tokens, float32 (N, 4), in the order of `ATTRIBUTES`; `tokens` are (N, length).

    rhythmic_complexity: sum of the weights of the onsets over the sum of all weights.
    note_range: highest less lowest pitch, over 26 semitones; 0 for fewer than two notes.
    note_density: onsets over ticks.
    average_interval_jump: mean of |interval| from note to note, in semitones; 0 for fewer than two notes.
    """
    tokens = np.asarray(tokens).astype(np.int16)  # signed: intervals go down as well
    onset = tokens < form.rest  # (N, L)
    counts = onset.sum(axis=1)
    several = counts > 1
    weights = onset_weights(form)
    complexity = onset @ weights / weights.sum()
    top = np.where(onset, tokens, -1).max(axis=1, initial=-1)
    bottom = np.where(onset, tokens, form.rest).min(axis=1, initial=form.rest)
    note_range = np.where(several, (top - bottom) / _RANGE_SEMITONES, 0.0)
    row, _ = np.nonzero(onset)
    jump = np.abs(np.diff(tokens[onset]))
    within = row[1:] == row[:-1]
    jumps = np.bincount(row[1:][within], jump[within], minlength=len(tokens))
    mean_jump = jumps / np.maximum(counts - 1, 1)
    return np.stack([complexity, note_range, counts / form.length, mean_jump], axis=1).astype(np.float32)


def onset_weights(form: TokenForm = MEASURE) -> np.ndarray:
    """What an onset on each tick adds to the rhythmic complexity, before division by their sum; float64 (length,)."""
    beats = [[_WEIGHT_OF_PLACE.get(place, of_beat) for place in form.ticks] for of_beat in _WEIGHT_OF_BEAT]
    assert len(beats) == BEATS
    return np.tile(np.array(beats).ravel(), form.measures)


def attribute_index(name: str) -> int:
    """The column of an attribute. Raises `UserError` for an unknown name."""
    if name not in ATTRIBUTES:
        raise UserError(f"unknown attribute {name!r}; known are {', '.join(ATTRIBUTES)}")
    return ATTRIBUTES.index(name)
