"""What every reader of melodies gives: a tune of one voice in exact time, or the reason why there is none."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

MEASURE_QUARTERS = 4
MAX_NOTES = 1000

# Why a tune is left out. What else there is to say of one tune follows in `TuneError.detail`.
UNREADABLE = "cannot be read"
OTHER_METRE = "not in 4/4"
METRE_CHANGES = "metre changes"
SEVERAL_VOICES = "several voices"
IRREGULAR_BARS = "bars do not fill the metre"
OFF_GRID = "off the grid"
NO_NOTE = "no note"
TOO_MANY_NOTES = f"over {MAX_NOTES:,} notes"
TOO_WIDE = "wider than the range of pitches"
TOO_SHORT = "too short"


class Note(NamedTuple):
    """A note: onset and end in quarters from the first bar line, and the MIDI pitch."""

    onset: Fraction
    pitch: int
    end: Fraction


@dataclass(frozen=True)
class Tune:
    """A melody: notes in order that do not overlap, in measures of 4 quarters from time 0.

    The music lasts from `start` (above 0 where it begins with a pick-up bar) to `end`, in quarters. `title` is what
    other versions of the tune are called as well; "" where that is not known.
    """

    name: str
    notes: tuple[Note, ...]
    start: Fraction
    end: Fraction
    title: str = ""


class TuneError(ValueError):
    """A tune that cannot enter: one of the reasons of this module, and perhaps where or what exactly."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason, self.detail = reason, detail


@dataclass(frozen=True)
class Dropped:
    """A tune that was left out, and why."""

    name: str
    reason: str
    detail: str = ""


def require_usable(notes: Sequence[Note]) -> None:
    """Raises `TuneError` unless there are 1 to `MAX_NOTES` notes."""
    if not notes:
        raise TuneError(NO_NOTE)
    if len(notes) > MAX_NOTES:
        raise TuneError(TOO_MANY_NOTES, f"{len(notes):,}")


def require_metre(metre: str, accepted: Sequence[str]) -> Fraction:
    """The length in quarters of a bar of `metre`, as in "4/4".

    Accepted metres have bars of 4 quarters, or of 2, which are taken in pairs. Raises `TuneError` for all others.
    """
    if metre not in accepted:
        raise TuneError(OTHER_METRE, metre)
    return bar_quarters(metre)


def bar_quarters(metre: str) -> Fraction:
    """The length of a bar in quarters."""
    beats, _, unit = metre.partition("/")
    return Fraction(4 * int(beats), int(unit))
