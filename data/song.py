"""Read a MIDI file as piano roll and note events, with exactly the values of `pretty_midi`.

The report defines its data by `pretty_midi` (0.2.11: `PrettyMIDI._load_instruments`, `Instrument.get_piano_roll`): its
rules say which note-off ends which note, which notes the sustain pedal holds, and how pitch bends move a note.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from data.smf import (
    CONTROL_CHANGE,
    NOTE_OFF,
    NOTE_ON,
    PITCH_BEND,
    PROGRAM_CHANGE,
    MidiError,
    MidiEvents,
    read_midi_events,
)
from data.sounding import PITCHES, Bends, Intervals, packed_roll

FRAMES_PER_SECOND = 16
OCTAVE = 12  # pitches
DRUM_CHANNEL = 9
SUSTAIN_PEDAL, PEDAL_THRESHOLD = 64, 64


@dataclass(frozen=True)
class Song:
    """A song in the form of the store.

    `frames` uint8 (n_frames, 16): bit-packed piano roll, pitch 0 in the highest bit of the first byte.
    `onset_seconds` float64 (n,), `pitch` uint8 (n,), `velocity` uint8 (n,), `drum` bool (n,): all notes, by onset.
    """

    frames: np.ndarray
    onset_seconds: np.ndarray
    pitch: np.ndarray
    velocity: np.ndarray
    drum: np.ndarray


class _Notes(NamedTuple):
    """Positions of the two events of each note, (notes,) each."""

    on: np.ndarray
    off: np.ndarray


def read_song(path: Path, *, frames_per_second: int = FRAMES_PER_SECOND, max_seconds: float = 3600.0) -> Song:
    """Read a MIDI file as bit-packed piano roll (without drums, pedal and bends applied) and note events.

    Raises `MidiError` where it is damaged or too large, has no note, or lasts over `max_seconds`, and `OSError` where
    it cannot be read.
    """
    events = read_midi_events(path)
    seconds = tick_seconds(events)
    if len(seconds) and seconds.max() > max_seconds:
        raise MidiError(f"lasts {seconds.max() / 60:.0f} minutes, more than the {max_seconds / 60:g} allowed")
    notes = _pair_notes(events)
    if not len(notes.on):
        has_note_on = ((events.kind == NOTE_ON) & (events.data2 > 0)).any()
        ending = " ends: none of its note-ons has a note-off later on" if has_note_on else ""
        raise MidiError(f"no note in it{ending}")
    instruments = _Instruments.assign(events, notes)
    frame = (seconds * frames_per_second).astype(np.int64)
    n_frames = int(frames_per_second * instruments.end_seconds(seconds, notes))
    audible = (events.channel[notes.on] != DRUM_CHANNEL) & (frame[notes.off] > frame[notes.on])
    on, off, list_of_note = (
        field[audible] for field in (notes.on, notes.off, instruments.controls_of[instruments.of_note])
    )
    end = _hold_pedal(events, instruments, frame, list_of_note, frame[off])
    sounding = Intervals(events.data1[on].astype(np.int64), frame[on], end)
    lists, bend = instruments.controls(events.kind == PITCH_BEND)
    value = events.data2[bend].astype(np.int64) * 128 + events.data1[bend] - 8192
    frames = packed_roll(sounding, list_of_note, Bends(lists, frame[bend], value), n_frames)

    drum = events.channel == DRUM_CHANNEL
    key = ((events.tick * PITCHES + events.data1) * 128 + events.data2) * 2 + drum
    on = notes.on[np.argsort(key[notes.on])]
    return Song(frames, seconds[on], events.data1[on], events.data2[on], drum[on])


def why_silent(song: Song) -> str:
    """Return why no pitch sounds in the roll of a song, "" if one does."""
    if song.frames.any():
        return ""
    return "no pitched note in it" if song.drum.all() else "its pitched notes are shorter than a frame"


def tick_seconds(events: MidiEvents) -> np.ndarray:
    """Return the time of each event in seconds, float64 (n,), with the rounding of `pretty_midi`."""
    if (events.tempo_microseconds == 0).any():
        raise MidiError("damaged: a tempo of zero")
    scales = 60.0 / ((6e7 / events.tempo_microseconds) * events.ticks_per_quarter)
    # The last change at tick 0 counts; changes to the same tempo are ignored.
    later = events.tempo_tick > 0
    at_start = scales[~later][-1:] if (~later).any() else np.array([60.0 / (120.0 * events.ticks_per_quarter)])
    start, scale = np.append(0, events.tempo_tick[later]), np.append(at_start, scales[later])
    changes = np.diff(scale, prepend=0.0) != 0
    start, scale = start[changes], scale[changes]
    before = np.append(0.0, np.cumsum(scale[:-1] * np.diff(start)))
    segment = np.searchsorted(start, events.tick, side="right") - 1
    return before[segment] + scale[segment] * (events.tick - start[segment])


def _pair_notes(events: MidiEvents) -> _Notes:
    """Pair events: a note-off ends all open notes of its track, channel and pitch that began on an earlier tick."""
    is_on = (events.kind == NOTE_ON) & (events.data2 > 0)
    switches = np.flatnonzero(is_on | (events.kind == NOTE_OFF) | (events.kind == NOTE_ON))
    key = (events.track[switches] * 16 + events.channel[switches]) * PITCHES + events.data1[switches]
    # uint16 sorts several times faster, and holds the keys of up to 32 tracks.
    by_key = np.argsort(key.astype(np.uint16) if key.max(initial=0) < 1 << 16 else key, kind="stable")
    switches, key, is_on = switches[by_key], key[by_key], is_on[switches][by_key]
    tick = events.tick[switches]
    # The next note-off after each switch, or the end of the array.
    n = len(switches)
    next_off = np.minimum.accumulate(np.where(is_on, n, np.arange(n))[::-1])[::-1] if n else np.arange(0)
    on = np.flatnonzero(is_on)
    off = next_off[on]
    ended = off < n
    on, off = on[ended], off[ended]
    ended = key[off] == key[on]
    on, off = on[ended], off[ended]
    if (tick[off] == tick[on]).any():
        on, off = _resolve_zero_length(on, off, key, tick, is_on)
    return _Notes(switches[on], switches[off])


def _resolve_zero_length(
    on: np.ndarray, off: np.ndarray, key: np.ndarray, tick: np.ndarray, is_on: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Drop notes that end on the tick of their note-on.

    Exception: if their note-off also ends an earlier note, they last to the next note-off on a later tick.
    """
    offs = np.flatnonzero(~is_on)
    before = np.append(-1, offs[:-1])
    same_key = np.append(False, key[offs[1:]] == key[before[1:]])
    later = ~same_key | (tick[offs] > tick[before])
    # Note-ons between a note-off and the one before: is the first on an earlier tick, is the last on the same tick?
    first = np.maximum(before + 1, np.searchsorted(key, key[offs]))
    ends_one = (first < offs) & (tick[first] < tick[offs])
    keeps_one = (first < offs) & (tick[offs - 1] == tick[offs])
    # A note-off also ends the note that the one before it kept open, if that one ended an earlier note in its turn, and
    # so on back to the last note-off where this is certain.
    open_before = same_key & np.append(False, keeps_one[:-1])
    certain = ~later | ends_one | ~open_before
    last_certain = np.maximum.accumulate(np.where(certain, np.arange(len(offs)), 0))
    ends_earlier = (later & ends_one)[last_certain]

    at_once = tick[off] == tick[on]
    number = np.searchsorted(offs, off)
    following = np.minimum(number + 1, len(offs) - 1)
    goes_on = at_once & ends_earlier[number] & same_key[following] & (tick[offs[following]] > tick[on])
    kept = ~at_once | goes_on
    return on[kept], np.where(goes_on, offs[following], off)[kept]


@dataclass(frozen=True)
class _Instruments:
    """Notes and controls, grouped like `pretty_midi.Instrument`s.

    `of_note` (notes,): instrument of each note. `controls_of` (instruments,): the list of control changes and bends
    that applies to each instrument; several can share one. `control`, `control_list`: positions of the control events,
    in order, and the list of each.
    """

    of_note: np.ndarray
    controls_of: np.ndarray
    control: np.ndarray
    control_list: np.ndarray

    @staticmethod
    def assign(events: MidiEvents, notes: _Notes) -> "_Instruments":
        part = events.track * 16 + events.channel
        program = _programs(events, part)
        # An instrument is a (part, program); the program is that at the end of the note.
        label = part * PITCHES + program
        # The first of its note-offs creates an instrument.
        ends = np.sort(label[notes.off] * len(label) + notes.off)
        names = ends // len(label)
        is_first = np.diff(names, prepend=-1) != 0
        names, created = names[is_first], ends[is_first] % len(label)
        of_note = np.searchsorted(names, label[notes.off])
        control = np.flatnonzero((events.kind == CONTROL_CHANGE) | (events.kind == PITCH_BEND))
        instrument = np.searchsorted(names, label[control])
        instrument[instrument == len(names)] = 0
        known = (names[instrument] == label[control]) & (created[instrument] < control)
        # Controls before the creation of their instrument go to a list of the part, which applies to all later
        # instruments of the part. List numbers: one for each instrument, then one for each part.
        part_list = len(names) + part[control]
        opened = np.full(len(names) + int(part.max(initial=0)) + 1, len(part))
        np.minimum.at(opened, part_list[~known], control[~known])
        shared = len(names) + names // PITCHES
        controls_of = np.where(created > opened[shared], shared, np.arange(len(names)))
        control_list = np.where(known, controls_of[instrument], part_list)
        return _Instruments(of_note, controls_of, control, control_list)

    def controls(self, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return list and position of the controls among the `chosen` events, bool (n,), by list and then time."""
        ours = chosen[self.control]
        lists, position = self.control_list[ours], self.control[ours]
        by_list = np.argsort(lists, kind="stable")
        return lists[by_list], position[by_list]

    def end_seconds(self, seconds: np.ndarray, notes: _Notes) -> float:
        """Return the time of the last note end or control of any instrument."""
        if not len(self.control):
            return seconds[notes.off].max()
        is_followed = np.zeros(max(self.control_list.max(), self.controls_of.max()) + 1, bool)
        is_followed[self.controls_of] = True
        followed = is_followed[self.control_list]
        return max(seconds[notes.off].max(), seconds[self.control[followed]].max(initial=0.0))


def _programs(events: MidiEvents, part: np.ndarray) -> np.ndarray:
    """Return the program of each event's track and channel, (n,); 0 before the first change."""
    changes = events.kind == PROGRAM_CHANGE
    if not changes.any():
        return np.zeros(len(part), np.int64)
    by_part = np.argsort(part, kind="stable")
    is_change, ordered_part = changes[by_part], part[by_part]
    last = np.maximum.accumulate(np.where(is_change, np.arange(len(part)), -1))
    valid = (last >= 0) & (ordered_part[last] == ordered_part)
    program = np.empty(len(part), np.int64)
    program[by_part] = np.where(valid, events.data1[by_part][last], 0)
    return program


def _hold_pedal(
    events: MidiEvents, instruments: _Instruments, frame: np.ndarray, follows: np.ndarray, end: np.ndarray
) -> np.ndarray:
    """Return the ends of notes, moved to the release of a pedal that is down in their last frame."""
    lists, position = instruments.controls((events.kind == CONTROL_CHANGE) & (events.data1 == SUSTAIN_PEDAL))
    if not len(lists):
        return end
    down = events.data2[position] >= PEDAL_THRESHOLD
    new_list = np.diff(lists, prepend=-1) != 0
    # Keep presses and releases only. The pedal is up at the start of a list; one never released holds nothing.
    change = np.where(new_list, down, down != np.concatenate([[False], down[:-1]]))
    lists, position, down = lists[change], position[change], down[change]
    press = np.flatnonzero(down[:-1] & (lists[:-1] == lists[1:]))
    if not len(press):
        return end
    span = int(frame.max()) + 1
    press_key = lists[press] * span + frame[position[press]]
    release = frame[position[press + 1]]
    last = np.searchsorted(press_key, follows * span + end - 1, side="right") - 1
    held = (last >= 0) & (lists[press][last] == follows) & (release[last] > end - 1)
    return np.where(held, release[last], end)
