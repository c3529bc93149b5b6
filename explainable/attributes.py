"""Four attributes of measures (definitions: Pati and Lerch 2019, Banar et al. 2023)."""

from fractions import Fraction

import numpy as np

from common.errors import UserError
from explainable.tokens import MEASURE, TokenForm

# In the order of the latent dimensions that are regularised for them.
ATTRIBUTES = ("rhythmic_complexity", "note_range", "note_density", "average_interval_jump")
RHYTHMIC_COMPLEXITY, NOTE_RANGE, NOTE_DENSITY, AVERAGE_INTERVAL_JUMP = ATTRIBUTES
RANGE_SEMITONES = 26
# An onset on a weaker metrical position is more complex. The weights of a measure of 24 ticks sum to 27.79.
_WEIGHT_OF_BEAT = (0.20, 0.67, 0.25, 0.67)
_WEIGHT_OF_PLACE = {Fraction(place, 12): weight for place, weight in ((3, 1.0), (4, 2.0), (6, 0.5), (8, 2.0), (9, 1.0))}


def attributes(tokens: np.ndarray, form: TokenForm = MEASURE) -> np.ndarray:
    """The attributes of rows of tokens (N, length): float32 (N, 4), in the order of `ATTRIBUTES`.

    rhythmic_complexity: sum of the weights of the onsets over the sum of all weights.
    note_range: highest less lowest pitch, over 26 semitones; 0 for fewer than two notes.
    note_density: onsets over ticks.
    average_interval_jump: mean |interval| between successive notes, in semitones; 0 for fewer than two notes.
    """
    tokens = np.asarray(tokens).astype(np.int16)  # signed: intervals may be negative
    onset = tokens < form.rest  # (N, L)
    counts = onset.sum(axis=1)
    several = counts > 1
    weights = onset_weights(form)
    complexity = onset @ weights / weights.sum()
    top = np.where(onset, tokens, -1).max(axis=1, initial=-1)
    bottom = np.where(onset, tokens, form.rest).min(axis=1, initial=form.rest)
    note_range = np.where(several, (top - bottom) / RANGE_SEMITONES, 0.0)
    row, _ = np.nonzero(onset)
    jump = np.abs(np.diff(tokens[onset]))
    within = row[1:] == row[:-1]
    jumps = np.bincount(row[1:][within], jump[within], minlength=len(tokens))
    mean_jump = jumps / np.maximum(counts - 1, 1)
    return np.stack([complexity, note_range, counts / form.length, mean_jump], axis=1).astype(np.float32)


def onset_weights(form: TokenForm = MEASURE) -> np.ndarray:
    """The weight of an onset on each tick in the rhythmic complexity, float64 (length,)."""
    beats = [[_WEIGHT_OF_PLACE.get(place, of_beat) for place in form.ticks] for of_beat in _WEIGHT_OF_BEAT]
    return np.tile(np.array(beats).ravel(), form.measures)


def attribute_index(name: str) -> int:
    """The column of an attribute. Raises `UserError` for an unknown name."""
    if name not in ATTRIBUTES:
        raise UserError(f"unknown attribute {name!r}; known are {', '.join(ATTRIBUTES)}")
    return ATTRIBUTES.index(name)
