"""Notes in exact time <-> rows of tokens.

In the form `MEASURE`, a beat has six ticks at unequal distances: sixteenths and eighth-note triplets (Pati and Lerch
2019). The token of a tick is the pitch that begins there, `rest` where silence begins, and `hold` otherwise. Ticks
before the start of a tune and after its end are padding, or rests in a form without padding. `PHRASE` is the published
form of AdversarialVAE: four measures of sixteenths.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np

from explainable.melodies.tunes import MEASURE_QUARTERS, Note, Reason, TuneError

BEATS = MEASURE_QUARTERS
_MAX_PLACES = 10_000
SIXTEENTHS = tuple(Fraction(step, 4) for step in range(4))
TRIPLETS = tuple(Fraction(step, 3) for step in range(3))


@dataclass(frozen=True)
class TokenForm:
    """The layout of a row of tokens: `measures` of 4/4 with onsets on `ticks` (in beats).

    The tokens are the pitches `lowest` to `highest` (MIDI, inclusive) as 0, 1, ..., then rest, hold and, with
    `has_padding`, padding.
    """

    name: str
    ticks: tuple[Fraction, ...]
    lowest: int
    highest: int
    has_padding: bool
    measures: int = 1

    @property
    def rest(self) -> int:
        return self.highest - self.lowest + 1

    @property
    def hold(self) -> int:
        return self.rest + 1

    @property
    def padding(self) -> int | None:
        return self.hold + 1 if self.has_padding else None

    @property
    def size(self) -> int:
        """Size of the vocabulary."""
        return self.hold + 1 + self.has_padding

    @property
    def measure_ticks(self) -> int:
        return BEATS * len(self.ticks)

    @property
    def length(self) -> int:
        """Tokens in a row."""
        return self.measures * self.measure_ticks

    @cached_property
    def places(self) -> dict[tuple[int, int], tuple[int, int, Fraction]]:
        """Cache of `ticks_near` for places in the first beat, by numerator and denominator."""
        return {}

    @property
    def vocabulary(self) -> list[str]:
        """The name of each token: a MIDI number, rest, hold or padding."""
        pitches = map(str, range(self.lowest, self.highest + 1))
        return [*pitches, "rest", "hold", *(["padding"] if self.has_padding else [])]

    def as_plain(self) -> dict[str, Any]:
        """The form as JSON types."""
        return {**asdict(self), "ticks": [str(tick) for tick in self.ticks]}

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> "TokenForm":
        """The inverse of `as_plain`. Raises `ValueError` or `TypeError`."""
        return cls(**{**plain, "ticks": tuple(map(Fraction, plain["ticks"]))})


MEASURE = TokenForm("measure", tuple(sorted({*SIXTEENTHS, *TRIPLETS})), 55, 84, has_padding=True)
PHRASE = TokenForm("phrase", SIXTEENTHS, 50, 94, has_padding=False, measures=4)
FORMS = {form.name: form for form in (MEASURE, PHRASE)}


def encode(notes: Sequence[Note], form: TokenForm, *, start: Fraction, end: Fraction) -> np.ndarray:
    """Tokens, int16 (measures, ticks of a measure), from the measure of `start` to that of `end` (quarters).

    `notes` are in order and do not overlap. A rest begins on the first tick at or after the end of a note, unless
    another note begins there or earlier. Raises `TuneError` for an onset off the ticks, `ValueError` for a pitch out
    of range.
    """
    first, last = start // BEATS, -(-end // BEATS)
    origin = first * form.measure_ticks
    n_ticks = (last - first) * form.measure_ticks
    tokens = np.full(n_ticks, form.hold, np.int16)
    begin, stop = (ticks_near(time, form)[0] - origin for time in (start, end))
    tokens[:1] = form.rest
    if form.padding is not None:
        tokens[begin : begin + 1] = form.rest
    for note in notes:
        if not form.lowest <= note.pitch <= form.highest:
            raise ValueError(f"pitch {note.pitch} is outside {form.lowest} to {form.highest}")
        after = ticks_near(note.end, form)[0] - origin
        tokens[after : after + 1] = form.rest
        tick, _, distance = ticks_near(note.onset, form)
        if distance:
            beat, within = divmod(note.onset, 1)
            where = f"{within} of beat {beat % BEATS + 1} in measure {beat // BEATS + 1}"
            raise TuneError(Reason.OFF_GRID, f"an onset at {where}")
        tokens[tick - origin] = note.pitch - form.lowest
    if form.padding is not None:
        tokens[:begin] = tokens[stop:] = form.padding
    return tokens.reshape(-1, form.measure_ticks)


def decode(tokens: np.ndarray, form: TokenForm, shift: int = 0) -> list[Note]:
    """Notes of consecutive tokens of any shape, in quarters from the first, moved by `shift` semitones.

    A note lasts to the next token other than hold, also over bar lines. Holds before the first note are silent.
    """
    flat = np.asarray(tokens).ravel()
    changes = np.flatnonzero(flat != form.hold).tolist()
    values = flat[changes].tolist()
    return [
        Note(tick_time(at, form), value + form.lowest + shift, tick_time(after, form))
        for at, value, after in zip(changes, values, [*changes, len(flat)][1:], strict=True)
        if value < form.rest
    ]


def tick_time(tick: int, form: TokenForm) -> Fraction:
    """Time of a tick, in quarters from tick 0."""
    beat, place = divmod(tick, len(form.ticks))
    return beat + form.ticks[place]


def ticks_near(time: Fraction, form: TokenForm) -> tuple[int, int, Fraction]:
    """The first tick at or after a time in quarters, the nearest tick (the earlier of two), and its distance."""
    beat, rest = divmod(time.numerator, time.denominator)
    place = rest, time.denominator
    if place not in form.places:  # places are few in music, so each is computed once
        if len(form.places) > _MAX_PLACES:
            form.places.clear()
        within, ticks = Fraction(*place), (*form.ticks, Fraction(1))  # the next beat's first tick follows the last
        distance, nearest = min((abs(own - within), tick) for tick, own in enumerate(ticks))
        form.places[place] = next(tick for tick, own in enumerate(ticks) if own >= within), nearest, distance
    after, nearest, distance = form.places[place]
    first = beat * len(form.ticks)
    return first + after, first + nearest, distance
