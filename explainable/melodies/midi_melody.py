"""A MIDI file -> its melody in exact time, not yet quantised.

The part that is named like a melody counts, else the only part there is. Of a file with several parts and no such name
the melody can be guessed: the part with the fewest overlaps among those that are not too low. Notes are cut off where
the next begins; of notes that begin together the highest counts.

A MIDI file does not tell a pick-up: its bar lines are counted from the beginning of the file.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import mido

from data.smf import MAX_BYTES
from data.song import DRUM_CHANNEL
from explainable.melodies.tunes import (
    IRREGULAR_BARS,
    METRE_CHANGES,
    NO_NOTE,
    SEVERAL_VOICES,
    UNREADABLE,
    Dropped,
    Note,
    Tune,
    TuneError,
    require_metre,
    require_usable,
)

_MELODY_NAME = re.compile(r"soprano|melod|vocal|voice|vox|lead|canto|cantus", re.IGNORECASE)
_LOWEST_MEAN_PITCH = 55  # below it, a part is taken for accompaniment
_LEAST_MONOPHONY = 0.9


@dataclass
class _Part:
    """Notes of one track and channel, in ticks: onset, pitch, end."""

    name: str = ""
    notes: list[tuple[int, int, int]] = field(default_factory=list)

    @property
    def monophony(self) -> float:
        """Time in which the part sounds, over the sum of the lengths of its notes: 1 where nothing overlaps."""
        covered = until = 0
        for onset, _, end in self.notes:
            covered += max(0, end - max(onset, until))
            until = max(until, end)
        return covered / sum(end - onset for onset, _, end in self.notes)

    @property
    def mean_pitch(self) -> float:
        return sum(pitch for _, pitch, _ in self.notes) / len(self.notes)


def read_midi_melody(path: Path, *, metres: Sequence[str] = ("4/4",), guess_melody: bool = False) -> Tune | Dropped:
    """The melody of a MIDI file, or the reason why there is none.

    `metres` are those accepted (see `require_metre`); a file without one counts as 4/4. With `guess_melody`, a melody
    is taken out of a file of several parts, and the highest voice out of a part that has several.
    """
    try:
        midi = _open(path)
        bar = require_metre(_metre(midi), metres)
        _require_bars(midi, bar)
        part = _melody(_parts(midi), guess_melody)
        notes = _one_voice(part, midi.ticks_per_beat)
        require_usable(notes)
    except TuneError as error:
        return Dropped(path.stem, error.reason, error.detail)
    return Tune(path.stem, tuple(notes), Fraction(0), notes[-1].end)


def _open(path: Path) -> mido.MidiFile:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise TuneError(UNREADABLE, f"more than {MAX_BYTES:,} bytes")
        midi = mido.MidiFile(path, clip=True)
    except TuneError:
        raise
    except Exception as error:  # one file out of thousands; the parser may raise anything
        raise TuneError(UNREADABLE, " ".join(str(error).split())[:80] or type(error).__name__) from error
    if midi.ticks_per_beat <= 0:
        raise TuneError(UNREADABLE, "its time division is not in ticks per quarter")
    return midi


def _metres(midi: mido.MidiFile) -> list[tuple[int, str]]:
    """Time in ticks and name of every metre."""
    found = []
    for track in midi.tracks:
        time = 0
        for message in track:
            time += message.time
            if message.type == "time_signature":
                found.append((time, f"{message.numerator}/{message.denominator}"))
    return sorted(found)


def _metre(midi: mido.MidiFile) -> str:
    names = list(dict.fromkeys(name for _, name in _metres(midi))) or ["4/4"]
    if len(names) > 1:
        raise TuneError(METRE_CHANGES, f"{names[0]} to {names[1]}")
    return names[0]


def _require_bars(midi: mido.MidiFile, bar: Fraction) -> None:
    """A metre that is stated again begins a bar, as the standard has it: that must be a bar line already."""
    for time, _ in _metres(midi):
        if time % (bar * midi.ticks_per_beat):
            quarters = time / midi.ticks_per_beat
            raise TuneError(IRREGULAR_BARS, f"the metre is stated anew at quarter {quarters:g}, within a bar")


def _parts(midi: mido.MidiFile) -> list[_Part]:
    """The parts that have notes, without drums; notes in order."""
    parts: dict[tuple[int, int], _Part] = defaultdict(_Part)
    for number, track in enumerate(midi.tracks):
        sounding: dict[tuple[int, int], int] = {}
        time = 0
        for message in track:
            time += message.time
            if message.type not in ("note_on", "note_off") or message.channel == DRUM_CHANNEL:
                continue
            key = (message.channel, message.note)
            onset = sounding.pop(key, time)
            if onset < time:
                parts[number, message.channel].notes.append((onset, message.note, time))
            if message.type == "note_on" and message.velocity:
                sounding[key] = time
        for (track_number, _), part in parts.items():
            if track_number == number:
                part.name = track.name
    for part in parts.values():
        part.notes.sort()
    return list(parts.values())


def _melody(parts: list[_Part], guess: bool) -> _Part:
    if not parts:
        raise TuneError(NO_NOTE)
    named = [part for part in parts if _MELODY_NAME.search(part.name)]
    if len(parts) == 1 or named:
        chosen = named[0] if named else parts[0]
        if chosen.monophony < _LEAST_MONOPHONY and not guess:
            raise TuneError(SEVERAL_VOICES, f"notes overlap (monophony {chosen.monophony:.2f})")
        return chosen
    if not guess:
        raise TuneError(SEVERAL_VOICES, f"{len(parts)} parts, none named as the melody")
    high = [part for part in parts if part.mean_pitch >= _LOWEST_MEAN_PITCH]
    if not high:
        raise TuneError(SEVERAL_VOICES, "no part that could be the melody")
    return max(high, key=lambda part: part.monophony)


def _one_voice(part: _Part, ticks_per_quarter: int) -> list[Note]:
    highest = {onset: (onset, pitch, end) for onset, pitch, end in part.notes}  # sorted: the highest is the last
    ordered = list(highest.values())
    following = [*(onset for onset, _, _ in ordered[1:]), ordered[-1][2]]
    return [
        Note(Fraction(onset, ticks_per_quarter), pitch, Fraction(min(end, after), ticks_per_quarter))
        for (onset, pitch, end), after in zip(ordered, following, strict=True)
    ]
