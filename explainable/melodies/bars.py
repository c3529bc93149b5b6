"""Written notes, rests and bar lines -> playing order -> measures in exact time. For ABC and MusicXML."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import islice

from explainable.melodies.tunes import MEASURE_QUARTERS, Note, Reason, Tune, TuneError


@dataclass(frozen=True)
class Sound:
    """A note, or a rest (no pitch), of `length` quarters. `tied`: the next note of its pitch continues it."""

    pitch: int | None
    length: Fraction
    tied: bool = False


@dataclass(frozen=True)
class BarLine:
    """A bar line. `ends_repeat`: how often the section before it is repeated. `endings`: the turns of the repeat in
    which the music after it is played.
    """

    ends_repeat: int = 0
    starts_repeat: bool = False
    is_double: bool = False
    endings: tuple[int, ...] = ()

    @property
    def separates_sections(self) -> bool:
        return bool(self.ends_repeat) or self.starts_repeat or self.is_double or bool(self.endings)


Written = Sequence[Sound | BarLine]
MAX_ITEMS = 5_000  # notes, rests and bar lines of a tune, as written and as played


def unfold(written: Written) -> list[Sound | BarLine]:
    """Notes, rests and bar lines in playing order.

    A repeat without a start goes back to the last double bar or end of a repeat (ABC standard 2.1, section 4.8).
    """
    if len(written) > MAX_ITEMS:
        raise TuneError(Reason.TOO_MANY_NOTES)
    played: list[Sound | BarLine] = []
    section, turn, is_opened, in_ending, at = 0, 1, False, False, 0
    while at < len(written):
        item = written[at]
        at += 1
        played.append(item)
        if len(played) > MAX_ITEMS:  # before a repeat of many times is expanded
            raise TuneError(Reason.TOO_MANY_NOTES)
        if not isinstance(item, BarLine):
            continue
        skips_ending = bool(item.endings) and turn not in item.endings
        if item.ends_repeat and turn < _turns(written, section, item.ends_repeat + 1):
            turn, at = turn + 1, section
        elif item.ends_repeat or item.starts_repeat or (item.is_double and (in_ending or not is_opened)):
            if item.ends_repeat and skips_ending:  # the ending of the last turn is not the last one written
                at = min(_ending(written, at, turn) + 1, len(written))
            section, turn, is_opened, in_ending = at, 1, item.starts_repeat, False
        elif skips_ending:
            at = _ending(written, at, turn)
            in_ending = True
    return played


def _turns(written: Written, section: int, turns: int) -> int:
    """How often a repeated section is played: at least `turns` times, or up to its last ending."""
    is_over = False
    for item in islice(written, section, None):
        if isinstance(item, BarLine):
            turns = max(turns, *item.endings, 0)
            is_over = (is_over or item.ends_repeat > 0) and not item.endings
            if item.starts_repeat:
                break
        elif is_over:
            break
    return turns


def _ending(written: Written, at: int, turn: int) -> int:
    """Where the ending of a turn begins; without one, the end of the repeat."""
    end = len(written)
    for place in range(at, len(written)):
        item = written[place]
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
    """The sounds between two bar lines. `ends_section`: the second bar line separates sections."""

    sounds: list[Sound] = field(default_factory=list)
    ends_section: bool = False

    @property
    def length(self) -> Fraction:
        return sum((sound.length for sound in self.sounds), Fraction(0))


def lay_out(name: str, played: Written, bar: Fraction, title: str = "") -> Tune:
    """The tune of notes, rests and bar lines in playing order; time 0 is the first full bar of `bar` quarters.

    Two short bars in a row that are full together count as one, such as the last bar of a section and the pick-up of
    the next. Any other short bar is filled up with silence: in front at the beginning of a section, behind at its end.
    Raises `TuneError` if another bar does not last `bar` quarters or a multiple.
    """
    bars = _bars(played)
    if not bars:
        raise TuneError(Reason.NO_NOTE)
    placed: list[tuple[Fraction, _Bar]] = []
    place = 0
    # Before a short bar, so that the first full bar begins a measure.
    time = MEASURE_QUARTERS - bar if bars[0].length < bar else Fraction(0)
    while place < len(bars):
        here = bars[place]
        length = here.length
        begins_section = place == 0 or bars[place - 1].ends_section
        ends_section = here.ends_section or place == len(bars) - 1
        following = bars[place + 1] if place + 1 < len(bars) else None
        if length % bar == 0:
            placed.append((time, here))
            time += length
        elif length < bar and following and length + following.length == bar:
            placed += [(time, here), (time + length, following)]
            time, place = time + bar, place + 1
        elif length < bar and (begins_section or ends_section):
            placed.append((time + bar - length if begins_section else time, here))
            time += bar
        else:
            raise TuneError(Reason.IRREGULAR_BARS, f"{length} quarters in bar {place + 1} as played")
        place += 1
    return Tune(name, _join_ties(placed), placed[0][0], placed[-1][0] + placed[-1][1].length, title)


def _bars(played: Written) -> list[_Bar]:
    """The bars, without empty ones."""
    bars = [_Bar()]
    for item in played:
        if isinstance(item, Sound):
            bars[-1].sounds.append(item)
        elif bars[-1].sounds:
            bars[-1].ends_section = item.separates_sections
            bars.append(_Bar())
        elif len(bars) > 1:
            bars[-2].ends_section |= item.separates_sections
    return [bar for bar in bars if bar.sounds]


def _join_ties(placed: Sequence[tuple[Fraction, _Bar]]) -> tuple[Note, ...]:
    """The notes of bars and their onsets, tied notes joined."""
    notes: list[Note] = []
    is_tied = False
    for time, bar in placed:
        for sound in bar.sounds:
            end = time + sound.length
            if sound.pitch is not None:
                if is_tied and notes[-1].pitch == sound.pitch and notes[-1].end == time:
                    notes[-1] = notes[-1]._replace(end=end)
                else:
                    notes.append(Note(time, sound.pitch, end))
            is_tied = sound.tied
            time = end
    return tuple(notes)
