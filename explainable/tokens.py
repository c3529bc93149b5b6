"""Notes in exact time <-> rows of tokens.

In the form `MEASURE`, a beat has six ticks at unequal distances: sixteenths and eighth-note triplets (Pati and Lerch
2019). The token of a tick is the pitch that begins there, `rest` where silence begins, and `hold` otherwise. Ticks
before the start of a tune and after its end are padding, or rests in a form without padding. `PHRASE` is the published
form of AdversarialVAE: four measures of sixteenths.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from explainable.melodies.tunes import MEASURE_QUARTERS, Note, Reason, TuneError

BEATS = MEASURE_QUARTERS
SIXTEENTHS_AND_TRIPLETS = tuple(Fraction(*part) for part in ((0, 1), (1, 4), (1, 3), (1, 2), (2, 3), (3, 4)))
SIXTEENTHS = tuple(Fraction(step, 4) for step in range(4))


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
    def places(self) -> dict[tuple[int, int], "_Place"]:
        """Cache of places in a beat, by numerator and denominator."""
        return {}

    def with_range(self, lowest: int, highest: int) -> "TokenForm":
        """The same form over other pitches."""
        return replace(self, lowest=lowest, highest=highest)

    def as_plain(self) -> dict[str, Any]:
        """The form as JSON types."""
        return {**asdict(self), "ticks": [str(tick) for tick in self.ticks]}

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> "TokenForm":
        """The inverse of `as_plain`. Raises `ValueError` or `TypeError`."""
        return cls(**{**plain, "ticks": tuple(map(Fraction, plain["ticks"]))})


MEASURE = TokenForm("measure", SIXTEENTHS_AND_TRIPLETS, 55, 84, has_padding=True)
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
    begin, stop = tick_from(start, form) - origin, tick_from(end, form) - origin
    tokens[:1] = form.rest
    if form.padding is not None:
        tokens[begin : begin + 1] = form.rest
    for note in notes:
        if not form.lowest <= note.pitch <= form.highest:
            raise ValueError(f"pitch {note.pitch} is outside {form.lowest} to {form.highest}")
        after = tick_from(note.end, form) - origin
        tokens[after : after + 1] = form.rest
        tokens[_tick_at(note.onset, form) - origin] = note.pitch - form.lowest
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


def tick_from(time: Fraction, form: TokenForm) -> int:
    """The first tick at or after a time in quarters."""
    beat, place = _place(time, form)
    return beat * len(form.ticks) + place.tick_from


def nearest_tick(time: Fraction, form: TokenForm) -> tuple[int, Fraction]:
    """The tick nearest to a time (the earlier of two equally near) and its distance in quarters."""
    beat, place = _place(time, form)
    return beat * len(form.ticks) + place.nearest, place.distance


class _Place(NamedTuple):
    """A place in a beat: the first tick at or after it, the nearest tick, and the distance of that one."""

    tick_from: int
    nearest: int
    distance: Fraction


def _place(time: Fraction, form: TokenForm) -> tuple[int, _Place]:
    """The beat of a time and its place in that beat. Places are few, so each is computed once."""
    beat, rest = divmod(time.numerator, time.denominator)
    key = rest, time.denominator
    if key not in form.places:
        within, ticks = Fraction(*key), (*form.ticks, Fraction(1))  # the next beat's first tick follows the last
        distance, nearest = min((abs(own - within), tick) for tick, own in enumerate(ticks))
        form.places[key] = _Place(next(tick for tick, own in enumerate(ticks) if own >= within), nearest, distance)
    return beat, form.places[key]


def _tick_at(time: Fraction, form: TokenForm) -> int:
    beat, place = _place(time, form)
    if place.distance:
        within = f"{time % 1} of beat {beat % BEATS + 1} in measure {beat // BEATS + 1}"
        raise TuneError(Reason.OFF_GRID, f"an onset at {within}")
    return beat * len(form.ticks) + place.nearest
