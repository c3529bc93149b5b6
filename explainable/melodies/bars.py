"""Notes, rests and bar lines as written -> the order of playing -> measures in exact time. For ABC and MusicXML."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from explainable.melodies.tunes import IRREGULAR_BARS, MEASURE_QUARTERS, Note, TuneError


@dataclass(frozen=True)
class Sound:
    """A note, or a rest (no pitch), `length` in quarters; `tied`: the next one of its pitch goes on with it."""

    pitch: int | None
    length: Fraction
    tied: bool = False


@dataclass(frozen=True)
class BarLine:
    """A bar line. `is_double`: it parts sections; `endings`: the turns of the repeat that go on behind it."""

    ends_repeat: bool = False
    starts_repeat: bool = False
    is_double: bool = False
    endings: tuple[int, ...] = ()

    @property
    def parts_sections(self) -> bool:
        return self.ends_repeat or self.starts_repeat or self.is_double or bool(self.endings)


def unfold(items: Sequence[Sound | BarLine]) -> list[Sound | BarLine]:
    """Notes, rests and bar lines in the order of playing.

    A repeat without a beginning goes back to the last double bar or end of a repeat, as the ABC standard has it.
    """
    played: list[Sound | BarLine] = []
    section, turn, is_opened, in_ending, at = 0, 1, False, False, 0
    while at < len(items):
        item = items[at]
        at += 1
        played.append(item)
        if not isinstance(item, BarLine):
            continue
        turns_away = bool(item.endings) and turn not in item.endings
        if item.ends_repeat and turn < _turns(items, section):
            turn, at = turn + 1, section
        elif item.ends_repeat or item.starts_repeat or (item.is_double and (in_ending or not is_opened)):
            if item.ends_repeat and turns_away:  # the last turn has ended with an ending that is not the last written
                at = min(_ending(items, at, turn) + 1, len(items))
            section, turn, is_opened, in_ending = at, 1, item.starts_repeat, False
        elif turns_away:
            at = _ending(items, at, turn)
            in_ending = True
    return played


def _turns(items: Sequence[Sound | BarLine], section: int) -> int:
    """How often a repeated section is played: up to its last ending, twice where it has none."""
    turns = 2
    for item in items[section:]:
        if isinstance(item, BarLine):
            turns = max(turns, *item.endings, 0)
            if item.starts_repeat:
                break
    return turns


def _ending(items: Sequence[Sound | BarLine], at: int, turn: int) -> int:
    """Where the ending of a turn begins; where there is none, the end of the repeat."""
    end = len(items)
    for place in range(at, len(items)):
        item = items[place]
        if isinstance(item, BarLine):
            if turn in item.endings:
                return place + 1
            if item.ends_repeat:
                end = min(end, place)
            if item.starts_repeat:
                break
    return end


@dataclass
class _Bar:
    """What stands between two bar lines; `ends_section`: the second is a double bar, a repeat or an ending."""

    sounds: list[Sound] = field(default_factory=list)
    ends_section: bool = False

    @property
    def length(self) -> Fraction:
        return sum((sound.length for sound in self.sounds), Fraction(0))


def lay_out(items: Sequence[Sound | BarLine], bar: Fraction) -> tuple[list[Note], Fraction, Fraction]:
    """Notes in quarters from the first bar line that a full bar of `bar` quarters begins with, and start and end.

    Two short bars in a row are one if together they are full, such as the last bar of a section and the pick-up of the
    next. What is short otherwise is filled up with silence: in front at the beginning of a section, behind at its end.
    Raises `TuneError` where any other bar does not last `bar` quarters, or several times as long.
    """
    bars = _bars(items)
    placed: list[tuple[Fraction, _Bar]] = []
    time, place = Fraction(0), 0
    if bars and bars[0].length < bar:
        time = MEASURE_QUARTERS - bar  # so that the first full bar begins a measure
    while place < len(bars):
        own = bars[place]
        length = own.length
        begins_section = place == 0 or bars[place - 1].ends_section
        ends_section = own.ends_section or place == len(bars) - 1
        following = bars[place + 1] if place + 1 < len(bars) else None
        if length % bar == 0:
            placed.append((time, own))
        elif length > bar:
            raise TuneError(IRREGULAR_BARS, f"{length} quarters in bar {place + 1} as played")
        elif following and length + following.length == bar:
            placed += [(time, own), (time + length, following)]
            length, place = bar, place + 1
        elif begins_section:
            placed.append((time + bar - length, own))
            length = bar
        elif ends_section:
            placed.append((time, own))
            length = bar
        else:
            raise TuneError(IRREGULAR_BARS, f"{length} quarters in bar {place + 1} as played")
        time += length
        place += 1
    start = placed[0][0] if placed else Fraction(0)
    end = placed[-1][0] + placed[-1][1].length if placed else Fraction(0)
    return _notes(placed), start, end


def _bars(items: Sequence[Sound | BarLine]) -> list[_Bar]:
    """The bars that last at all."""
    bars = [_Bar()]
    for item in items:
        if isinstance(item, Sound):
            bars[-1].sounds.append(item)
        elif bars[-1].sounds:
            bars[-1].ends_section = item.parts_sections
            bars.append(_Bar())
        elif len(bars) > 1:
            bars[-2].ends_section |= item.parts_sections
    return [own for own in bars if own.sounds]


def _notes(placed: Sequence[tuple[Fraction, _Bar]]) -> list[Note]:
    """The notes of the bars that begin at these times, tied ones joined."""
    notes: list[Note] = []
    goes_on = False
    for time, bar in placed:
        for sound in bar.sounds:
            end = time + sound.length
            if sound.pitch is not None:
                if goes_on and notes[-1].pitch == sound.pitch and notes[-1].end == time:
                    notes[-1] = notes[-1]._replace(end=end)
                else:
                    notes.append(Note(time, sound.pitch, end))
            goes_on = sound.tied
            time = end
    return notes
