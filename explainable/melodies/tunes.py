"""The result of every melody reader: a tune of one voice in exact time, or the reason why the tune is dropped."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import Any, NamedTuple

from common.errors import reason_of
from common.text import printable

MEASURE_QUARTERS = 4
# In a performance, onsets up to a twelfth of a beat away belong to a tick; a score is exact.
PERFORMED_TOLERANCE = Fraction(1, 12)
MAX_NOTES = 1000
MAX_MEASURES = 5000


class Reason(StrEnum):
    """Reasons for dropping a tune. `TuneError.detail` adds where or what exactly."""

    UNREADABLE = "cannot be read"
    OTHER_METRE = "not in 4/4"
    METRE_CHANGES = "metre changes"
    SEVERAL_VOICES = "several voices"
    OTHER_ORDER = "parts are played in another order"
    IRREGULAR_BARS = "bars do not fill the metre"
    OFF_GRID = "off the grid"
    NO_NOTE = "no note"
    TOO_MANY_NOTES = f"over {MAX_NOTES:,} notes"
    TOO_LONG = f"over {MAX_MEASURES:,} measures"
    TOO_WIDE = "wider than the range of pitches"
    TOO_SHORT = "too short"


class Note(NamedTuple):
    """A note: onset and end in quarters from the first bar line, and the MIDI pitch."""

    onset: Fraction
    pitch: int
    end: Fraction


@dataclass(frozen=True)
class Tune:
    """A melody: notes in order, without overlaps, in measures of 4 quarters from time 0.

    The music lasts from `start` (above 0 if there is a pick-up) to `end`, in quarters. `title` groups the versions of
    a tune; "" if unknown.
    """

    name: str
    notes: tuple[Note, ...]
    start: Fraction
    end: Fraction
    title: str = ""


class TuneError(ValueError):
    """A tune cannot be used: one of the reasons of this module, and optionally a detail."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason, self.detail = reason, detail


@dataclass(frozen=True)
class Dropped:
    """A tune that was left out, and why."""

    name: str
    reason: str
    detail: str = ""


@dataclass(frozen=True)
class Reading:
    """How files are read.

    `metres`: accepted metres (see `require_metre`). `repeats`: play out repeats and endings; otherwise each bar sounds
    once. `guess_melody`: choose the melody of MIDI files with several parts.
    """

    metres: tuple[str, ...] = ("4/4",)
    repeats: bool = True
    guess_melody: bool = False


def tune_or_reason(read: Callable[..., Tune], name: str, *args: Any) -> Tune | Dropped:
    """Call `read(name, *args)`. Any exception of this one tune becomes its `Dropped`, so that the other tunes go on."""
    name = printable(name)  # of a file, it may hold bytes that are no text
    try:
        tune = read(name, *args)
        if not tune.notes:
            raise TuneError(Reason.NO_NOTE)
        if len(tune.notes) > MAX_NOTES:
            raise TuneError(Reason.TOO_MANY_NOTES, f"{len(tune.notes):,}")
        if tune.end > MAX_MEASURES * MEASURE_QUARTERS:  # before it is expanded to tokens
            raise TuneError(Reason.TOO_LONG)
    except TuneError as error:
        return Dropped(name, error.reason, printable(error.detail))
    except Exception as error:  # parsers of damaged files raise anything
        return Dropped(name, Reason.UNREADABLE, reason_of(error))
    return tune


def require_metre(accepted: Sequence[str], *metres: str) -> Fraction:
    """The length in quarters of a bar of the one metre of a tune, such as "4/4"; "" if the file names none.

    Accepted metres have bars of 4 quarters, or of 2, which are taken in pairs. Raises `TuneError` for all others and
    for several metres.
    """
    first, *others = dict.fromkeys(metres) or ("",)
    if others:
        raise TuneError(Reason.METRE_CHANGES, f"{first} to {others[0]}")
    if first not in accepted:
        raise TuneError(Reason.OTHER_METRE, first or "no metre")
    return bar_quarters(first)


def bar_quarters(metre: str) -> Fraction:
    """The length of a bar in quarters."""
    beats, _, unit = metre.partition("/")
    return Fraction(4 * int(beats), int(unit))
