"""The measure as tokens: notes in exact time <-> rows of tokens over MIDI numbers.

A beat of the `MEASURE` form has six ticks that are not equidistant: onsets may lie on sixteenths and on the triplets
of an eighth (Pati and Lerch 2019). The token of a tick is the pitch that begins there, `rest` where silence begins, and
`hold` everywhere else. What lies before the beginning of a tune and after its end is padding, tick by tick; a form
without a token for that has rests there. `PHRASE` is the published form of AdversarialVAE: four measures of sixteenths.
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
    """How a row of tokens is laid out.

    `ticks` are the places in a beat, in beats. Pitches `lowest` to `highest` (MIDI, both included) are the tokens 0,
    1, ...; rest, hold and, where `has_padding`, padding follow. `measures` of 4/4 make a row.
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
        """Number of tokens in the vocabulary."""
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
        """What is known of places in a beat, numerator and denominator, so far."""
        return {}

    def with_range(self, lowest: int, highest: int) -> "TokenForm":
        """The same form over other pitches."""
        return replace(self, lowest=lowest, highest=highest)

    def as_plain(self) -> dict[str, Any]:
        """The form as JSON has it."""
        return {**asdict(self), "ticks": [str(tick) for tick in self.ticks]}

    @classmethod
    def from_plain(cls, told: dict[str, Any]) -> "TokenForm":
        """The inverse of `as_plain`. Raises `ValueError` or `TypeError` where it is none."""
        return cls(**{**told, "ticks": tuple(map(Fraction, told["ticks"]))})


MEASURE = TokenForm("measure", SIXTEENTHS_AND_TRIPLETS, 55, 84, has_padding=True)
PHRASE = TokenForm("phrase", SIXTEENTHS, 50, 94, has_padding=False, measures=4)
FORMS = {form.name: form for form in (MEASURE, PHRASE)}


def encode(notes: Sequence[Note], form: TokenForm, *, start: Fraction, end: Fraction) -> np.ndarray:
    """Tokens of a tune, int16 (measures, ticks of a measure), from the measure that holds `start` to that of `end`.

    `notes` are in order and do not overlap; times are in quarters. A rest begins on the first tick at or after the end
    of a note, unless another note begins there or earlier. Raises `TuneError` where an onset is on no tick, and
    `ValueError` where a pitch is out of range.
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


def decode(tokens: np.ndarray, form: TokenForm) -> list[Note]:
    """Notes of tokens that follow one another in time, any shape, in quarters from the first.

    A hold goes on with what was before, also over a bar line; before any note it is silent. A note ends with the next
    token that is no hold.
    """
    flat = np.asarray(tokens).ravel()
    changes = np.flatnonzero(flat != form.hold).tolist()
    values = flat[changes].tolist()
    return [
        Note(tick_time(at, form), value + form.lowest, tick_time(after, form))
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
    """The tick nearest to a time, the earlier of two that are as near, and how far it is, in quarters."""
    beat, place = _place(time, form)
    return beat * len(form.ticks) + place.nearest, place.distance


class _Place(NamedTuple):
    """A place in a beat: the first tick at or after it, the nearest tick, and how far that is."""

    tick_from: int
    nearest: int
    distance: Fraction


def _place(time: Fraction, form: TokenForm) -> tuple[int, _Place]:
    """The beat of a time and its place in there. Places are few, so each is looked for once."""
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
