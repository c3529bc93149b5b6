"""A MIDI file -> its melody in exact time, not yet quantised.

The melody is the part with a melody's name, otherwise the only part. With `guess_melody`, that of several parts is the
one with the fewest overlaps among those that are not too low. A note is cut off where the next begins; of notes that
begin together the highest counts. Bar lines are counted from the beginning of the file, which does not mark a pick-up.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from io import BytesIO
from itertools import accumulate
from pathlib import Path
from statistics import fmean

import mido

from common.files import read_limited
from data.song import DRUM_CHANNEL
from explainable.melodies.tunes import Dropped, Note, Reading, Reason, Tune, TuneError, require_metre, tune_or_reason

_MAX_BYTES = 1_000_000  # mido takes about 200 bytes of memory a byte
_MELODY_NAME = re.compile(r"soprano|melod|vocal|voice|vox|lead|canto|cantus", re.IGNORECASE)
_LOWEST_MEAN_PITCH = 55  # a part below it counts as accompaniment
_LEAST_MONOPHONY = 0.9


@dataclass
class _MidiPart:
    """Notes of one track and channel, in ticks: onset, pitch, end."""

    name: str
    notes: list[tuple[int, int, int]] = field(default_factory=list)

    @property
    def monophony(self) -> float:
        """Time in which the part sounds, over the sum of the lengths of its notes: 1 without overlaps."""
        covered = until = 0
        for onset, _, end in self.notes:
            covered += max(0, end - max(onset, until))
            until = max(until, end)
        return covered / sum(end - onset for onset, _, end in self.notes)


def read_midi_melody(path: Path, reading: Reading = Reading()) -> Iterator[Tune | Dropped]:
    """The melody of a MIDI file, or the reason why it is dropped. A file without a metre counts as 4/4."""
    yield tune_or_reason(_read_file, path.stem, path, reading)


def _read_file(name: str, path: Path, reading: Reading) -> Tune:
    midi = mido.MidiFile(file=BytesIO(read_limited(path, _MAX_BYTES)), clip=True)
    if midi.ticks_per_beat <= 0:
        raise TuneError(Reason.UNREADABLE, "its time division is not in ticks per quarter")
    metres = []  # (ticks, metre)
    for track in midi.tracks:
        times = accumulate(message.time for message in track)
        for time, message in zip(times, track, strict=True):
            if message.type == "time_signature":
                metres.append((time, f"{message.numerator}/{message.denominator}"))
    metres.sort()
    bar = require_metre(reading.metres, *([metre for _, metre in metres] or ["4/4"]))
    for quarters in (Fraction(time, midi.ticks_per_beat) for time, _ in metres):
        if quarters % bar:
            raise TuneError(Reason.IRREGULAR_BARS, f"a time signature at quarter {float(quarters):g}, within a bar")
    notes = _one_voice(_melody(_parts(midi), reading.guess_melody), midi.ticks_per_beat)
    return Tune(name, notes, Fraction(0), notes[-1].end)


def _parts(midi: mido.MidiFile) -> list[_MidiPart]:
    """The parts that have notes, without drums; notes in order."""
    parts: dict[tuple[int, int], _MidiPart] = {}
    for number, track in enumerate(midi.tracks):
        name, time, sounding = track.name, 0, {}
        for message in track:
            time += message.time
            if message.type not in ("note_on", "note_off") or message.channel == DRUM_CHANNEL:
                continue
            key = (message.channel, message.note)
            onset = sounding.pop(key, time)
            if onset < time:
                parts.setdefault((number, message.channel), _MidiPart(name)).notes.append((onset, message.note, time))
            if message.type == "note_on" and message.velocity:
                sounding[key] = time
    for part in parts.values():
        part.notes.sort()
    return list(parts.values())


def _melody(parts: list[_MidiPart], guess: bool) -> _MidiPart:
    if not parts:
        raise TuneError(Reason.NO_NOTE)
    named = [part for part in parts if _MELODY_NAME.search(part.name)]
    if len(parts) == 1 or named:
        chosen = (named or parts)[0]
        if chosen.monophony < _LEAST_MONOPHONY and not guess:
            raise TuneError(Reason.SEVERAL_VOICES, f"notes overlap (monophony {chosen.monophony:.2f})")
        return chosen
    if not guess:
        raise TuneError(Reason.SEVERAL_VOICES, f"{len(parts)} parts, none named as the melody")
    high = [part for part in parts if fmean(pitch for _, pitch, _ in part.notes) >= _LOWEST_MEAN_PITCH]
    if not high:
        raise TuneError(Reason.SEVERAL_VOICES, "no part that could be the melody")
    return max(high, key=lambda part: part.monophony)


def _one_voice(part: _MidiPart, ticks_per_quarter: int) -> tuple[Note, ...]:
    highest = {note[0]: note for note in part.notes}  # sorted: the highest is the last
    following = [*highest, part.notes[-1][2]][1:]
    return tuple(
        Note(Fraction(onset, ticks_per_quarter), pitch, Fraction(min(end, after), ticks_per_quarter))
        for (onset, pitch, end), after in zip(highest.values(), following, strict=True)
    )
