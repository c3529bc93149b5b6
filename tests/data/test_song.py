"""MIDI files -> rolls and note events: the values of `pretty_midi`, bit for bit, and how damaged files are refused."""

import itertools
import warnings
from dataclasses import dataclass
from pathlib import Path

import mido
import numpy as np
import pretty_midi
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from midi_files import (
    DRUMS,
    TICKS_PER_SECOND,
    Message,
    bend,
    control,
    example_song,
    midi,
    off,
    on,
    pedal,
    program,
    raw_midi,
    tempo,
    write,
)

from data.smf import MidiError
from data.song import FRAMES_PER_SECOND, Song, read_song

REAL_MUSIC = Path(__file__).resolve().parents[3] / "shared" / "midi"
END_OF_TRACK = b"\x00\xff\x2f\x00"
# The same examples in every run.
REPEATABLE = settings(derandomize=True, deadline=None, database=None)

Runs = dict[int, list[tuple[int, int]]]  # pitch -> (first frame, frame after the last) of each time it sounds


def pretty_midi_song(path: Path, frames_per_second: int = FRAMES_PER_SECOND) -> Song:
    """The song as `pretty_midi` reads it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # tempo on a track other than the first
        read = pretty_midi.PrettyMIDI(str(path))
    roll = read.get_piano_roll(fs=frames_per_second) > 0
    notes = sorted((note.start, note.pitch, note.velocity) for part in read.instruments for note in part.notes)
    onset, pitch, velocity = zip(*notes, strict=True) if notes else ((), (), ())
    frames = np.packbits(roll.T, axis=1)
    return Song(frames, np.array(onset, np.float64), np.array(pitch, np.uint8), np.array(velocity, np.uint8))


def assert_same_song(song: Song, expected: Song) -> None:
    for name in ("frames", "onset_seconds", "pitch", "velocity"):
        array, wanted = getattr(song, name), getattr(expected, name)
        assert (array.shape, array.dtype) == (wanted.shape, wanted.dtype), name
        np.testing.assert_array_equal(array, wanted, err_msg=name)


def sounding(song: Song) -> Runs:
    """Where each pitch sounds in the roll, pitches that never sound left out."""
    runs: Runs = {}
    for pitch, cells in enumerate(np.unpackbits(song.frames, axis=1).T):
        edges = np.flatnonzero(np.diff(cells.astype(int), prepend=0, append=0)).tolist()
        if edges:
            runs[pitch] = list(zip(edges[::2], edges[1::2], strict=True))
    return runs


@dataclass(frozen=True)
class Case:
    """A file, what sounds in its roll (by hand), and how many notes it has, drums included.

    480 ticks are a quarter note of 0.5 s and 60 ticks are a frame, where no tempo says otherwise.
    """

    content: bytes
    sounds: Runs
    notes: int = 1


def one_track(*messages: Message) -> bytes:
    return midi(list(messages))


def bent_note(pitch: int, value: int) -> bytes:
    return one_track(bend(0, value), on(0, pitch), off(240, pitch))


def meta(kind: str, delta: int = 0, **fields: object) -> Message:
    return mido.MetaMessage(kind, time=delta, **fields)


def note(pitch: int = 60, ticks: int = 480) -> list[Message]:
    return [on(0, pitch), off(ticks, pitch)]


PEDAL_CASES = {
    "held to the release": Case(one_track(pedal(0, 127), on(0, 60), off(240, 60), pedal(360, 0)), {60: [(0, 10)]}),
    "never released": Case(one_track(pedal(0, 127), on(0, 60), off(240, 60), control(360, 7, 0)), {60: [(0, 4)]}),
    "pressed twice": Case(
        one_track(pedal(0, 127), on(0, 60), off(120, 60), pedal(60, 100), pedal(180, 0), pedal(120, 0)),
        {60: [(0, 6)]},
    ),
    "64 is down, 63 is up": Case(one_track(pedal(0, 64), on(0, 60), off(120, 60), pedal(240, 63)), {60: [(0, 6)]}),
    "63 is not down": Case(one_track(pedal(0, 63), on(0, 60), off(120, 60), pedal(240, 0)), {60: [(0, 2)]}),
    "pressed within the note": Case(one_track(on(0, 60), pedal(120, 127), off(120, 60), pedal(240, 0)), {60: [(0, 8)]}),
    "pressed in the last frame": Case(one_track(on(0, 60), pedal(60, 127), off(60, 60), pedal(240, 0)), {60: [(0, 6)]}),
    "pressed in the frame after": Case(
        one_track(on(0, 60), pedal(70, 127), off(40, 60), pedal(250, 0)), {60: [(0, 1)]}
    ),
    "pressed after the note": Case(one_track(on(0, 60), off(120, 60), pedal(60, 127), pedal(240, 0)), {60: [(0, 2)]}),
    "changed at once": Case(
        one_track(pedal(0, 127), on(0, 60), off(120, 60), pedal(120, 0), pedal(0, 127), pedal(240, 0)),
        {60: [(0, 4)]},
    ),
    "pressed again within the note": Case(
        one_track(pedal(0, 127), on(0, 60), pedal(60, 0), pedal(60, 127), off(120, 60), pedal(240, 0)),
        {60: [(0, 8)]},
    ),
    "struck again under it": Case(
        one_track(pedal(0, 127), *note(60, 120), on(120, 60), off(120, 60), pedal(120, 0)), {60: [(0, 8)]}, notes=2
    ),
    "several pitches": Case(
        one_track(pedal(0, 127), *note(60, 120), *note(64, 120), pedal(120, 0), *note(67, 120)),
        {60: [(0, 6)], 64: [(2, 6)], 67: [(6, 8)]},
        notes=3,
    ),
    "note shorter than a frame": Case(one_track(pedal(0, 127), *note(60, 30), pedal(450, 0)), {}),
    "far after the last note": Case(one_track(*note(60, 120), pedal(960, 0)), {60: [(0, 2)]}),
    "released before any press": Case(one_track(pedal(0, 0), *note(60, 120), pedal(240, 0)), {60: [(0, 2)]}),
    "another control": Case(one_track(control(0, 66, 127), *note(60, 120), control(240, 66, 0)), {60: [(0, 2)]}),
}

BEND_CASES = {
    "a semitone up": Case(bent_note(60, 4096), {61: [(0, 4)]}),
    "a semitone down": Case(bent_note(60, -4096), {59: [(0, 4)]}),
    "all the way down, two semitones": Case(bent_note(60, -8192), {58: [(0, 4)]}),
    "all the way up, just under two": Case(bent_note(60, 8191), {61: [(0, 4)], 62: [(0, 4)]}),
    "the least up": Case(bent_note(60, 1), {60: [(0, 4)], 61: [(0, 4)]}),
    "the least down": Case(bent_note(60, -1), {59: [(0, 4)], 60: [(0, 4)]}),
    "a fraction up": Case(bent_note(60, 5000), {61: [(0, 4)], 62: [(0, 4)]}),
    "a fraction down": Case(bent_note(60, -5000), {58: [(0, 4)], 59: [(0, 4)]}),
    "highest key, a fraction up": Case(bent_note(127, 1000), {127: [(0, 4)]}),
    "highest key, a fraction down": Case(bent_note(127, -1000), {126: [(0, 4)], 127: [(0, 4)]}),
    "highest key, a semitone up": Case(bent_note(127, 4096), {}),
    "one below, over the top": Case(bent_note(126, 5000), {127: [(0, 4)]}),
    "lowest key, a fraction down": Case(bent_note(0, -1000), {0: [(0, 4)]}),
    "lowest key, a fraction up": Case(bent_note(0, 1000), {0: [(0, 4)], 1: [(0, 4)]}),
    "lowest key, two semitones down": Case(bent_note(0, -8192), {}),
    "one above, over the bottom": Case(bent_note(1, -5000), {0: [(0, 4)]}),
    "within a note": Case(
        one_track(on(0, 60), bend(240, 4096), bend(240, 0), off(240, 60)), {60: [(0, 4), (8, 12)], 61: [(4, 8)]}
    ),
    "two in one frame": Case(
        one_track(on(0, 60), bend(120, 4096), bend(10, -4096), off(350, 60)), {59: [(2, 8)], 60: [(0, 2)]}
    ),
    "two on one tick": Case(one_track(bend(0, 4096), bend(0, -4096), *note(60, 240)), {59: [(0, 4)]}),
    "the frame it falls in": Case(one_track(on(0, 60), bend(119, 4096), off(121, 60)), {60: [(0, 1)], 61: [(1, 4)]}),
    "under the pedal": Case(
        one_track(pedal(0, 127), *note(60, 120), bend(120, 4096), pedal(240, 0)), {60: [(0, 4)], 61: [(4, 8)]}
    ),
    "onto another note": Case(
        one_track(bend(0, 4096), on(0, 60), on(0, 61), off(240, 60), off(240, 61)),
        {61: [(0, 4)], 62: [(0, 8)]},
        notes=2,
    ),
    "another channel": Case(one_track(bend(0, 4096, 1), *note(60, 240)), {60: [(0, 4)]}),
    "without any note, far into the song": Case(one_track(control(16_000, 7, 0), bend(960, 4096)), {}, notes=0),
    "longer than the notes": Case(one_track(*note(60, 240), bend(240, 4096), bend(240, 0)), {60: [(0, 4)]}),
}

TEMPO_CASES = {
    "several": Case(
        one_track(tempo(0, 500_000), *note(60), tempo(0, 250_000), *note(62), tempo(0, 1_000_000), *note(64)),
        {60: [(0, 8)], 62: [(8, 12)], 64: [(12, 28)]},
        notes=3,
    ),
    "within a note": Case(one_track(on(0, 60), tempo(240, 1_000_000), off(240, 60)), {60: [(0, 12)]}),
    "at tick 0 twice": Case(one_track(tempo(0, 250_000), tempo(0, 1_000_000), *note()), {60: [(0, 16)]}),
    "at a later tick twice": Case(
        one_track(on(0, 60), tempo(480, 250_000), tempo(0, 1_000_000), off(480, 60)), {60: [(0, 24)]}
    ),
    "repeated": Case(
        one_track(tempo(0, 333_333), on(0, 60), tempo(7, 333_333), tempo(100, 333_333), off(373, 60)),
        {60: [(0, 5)]},
    ),
    "there and back": Case(
        one_track(on(0, 60), tempo(101, 700_001), tempo(103, 500_000), tempo(0, 700_001), off(276, 60)),
        {60: [(0, 10)]},
    ),
    "the default until the first": Case(one_track(on(0, 60), tempo(480, 250_000), off(480, 60)), {60: [(0, 12)]}),
    "after the last note": Case(one_track(*note(), tempo(480, 250_000)), {60: [(0, 8)]}),
    "on the first track, for all": Case(
        midi([tempo(0, 500_000), tempo(480, 250_000)], note(60, 960), note(62, 480)),
        {60: [(0, 12)], 62: [(0, 8)]},
        notes=2,
    ),
    "on a second track, ignored": Case(midi([tempo(0, 500_000)], [tempo(0, 250_000), *note()]), {60: [(0, 8)]}),
    "on a second track alone, ignored": Case(midi(note(64), [tempo(0, 250_000)]), {64: [(0, 8)]}),
    "96 ticks per quarter note": Case(midi(note(60, 96), ticks_per_quarter=96), {60: [(0, 8)]}),
}

NOTE_CASES = {
    "drums": Case(one_track(on(0, 36, channel=DRUMS), off(480, 36, DRUMS)), {}),
    "drums longer than the rest": Case(
        one_track(on(0, 60), on(0, 36, channel=DRUMS), off(240, 60), off(720, 36, DRUMS)), {60: [(0, 4)]}, notes=2
    ),
    "the channels next to the drums": Case(
        one_track(on(0, 60, channel=8), on(0, 62, channel=10), off(240, 60, 8), off(240, 62, 10)),
        {60: [(0, 4)], 62: [(0, 8)]},
        notes=2,
    ),
    "one note-off ends both": Case(
        one_track(on(0, 60, 70), on(120, 60, 90), off(120, 60), off(120, 60)), {60: [(0, 4)]}, notes=2
    ),
    "note-on of velocity 0 ends a note": Case(one_track(on(0, 60), on(240, 60, 0), off(240, 60)), {60: [(0, 4)]}),
    "no length": Case(one_track(on(0, 60), off(0, 60), on(60, 62), off(60, 62)), {62: [(1, 2)]}),
    "no length while one sounds": Case(
        one_track(on(0, 60), on(240, 60), off(0, 60), off(240, 60)), {60: [(0, 8)]}, notes=2
    ),
    "no length, then a second note-off": Case(
        one_track(on(0, 60), on(240, 60), off(0, 60), off(0, 60), off(240, 60)), {60: [(0, 4)]}
    ),
    "ends and begins on one tick": Case(
        one_track(on(0, 60), off(240, 60), on(0, 60), off(240, 60)), {60: [(0, 8)]}, notes=2
    ),
    "begins before the other ends, on one tick": Case(
        one_track(on(0, 60), on(240, 60), on(0, 60, 20), off(0, 60), off(240, 60)), {60: [(0, 8)]}, notes=3
    ),
    "never ended": Case(one_track(on(0, 60), on(0, 64), off(240, 64), control(240, 7, 0)), {64: [(0, 4)]}),
    "never begun": Case(one_track(off(0, 60), on(60, 64), off(60, 60), off(60, 64), off(60, 64)), {64: [(1, 3)]}),
    "note-off on another channel": Case(
        one_track(on(0, 60), off(120, 60, 1), off(120, 60), on(60, 61, channel=1)), {60: [(0, 4)]}
    ),
    "note-off on another track": Case(midi([on(0, 60), off(480, 60)], [off(120, 60)]), {60: [(0, 8)]}),
    "shorter than a frame": Case(one_track(on(10, 60), off(40, 60)), {}),
    "across a frame border": Case(one_track(on(59, 60), off(2, 60)), {60: [(0, 1)]}),
    "lowest and highest": Case(
        one_track(on(0, 0), on(0, 127), off(60, 0), off(60, 127)), {0: [(0, 1)], 127: [(0, 2)]}, notes=2
    ),
    "all velocities in order": Case(
        one_track(*(on(0, 60, velocity) for velocity in (3, 127, 1)), off(60, 60)), {60: [(0, 1)]}, notes=3
    ),
    "none at all": Case(one_track(control(0, 7, 100), pedal(960, 127)), {}, notes=0),
    "nothing at all": Case(one_track(), {}, notes=0),
    "no notes among meta events": Case(one_track(meta("text", 960, text="silence")), {}, notes=0),
}

INSTRUMENT_CASES = {
    "the pedal of one channel": Case(
        one_track(pedal(0, 127, 1), on(0, 60), on(0, 64, channel=1), off(120, 60), off(0, 64, 1), pedal(120, 0, 1)),
        {60: [(0, 2)], 64: [(0, 4)]},
        notes=2,
    ),
    "the pedals of two channels": Case(
        one_track(
            *(pedal(0, 127, 0), pedal(0, 127, 1), on(0, 60), on(0, 64, channel=1), off(120, 60), off(0, 64, 1)),
            *(pedal(60, 0, 0), pedal(120, 0, 1)),
        ),
        {60: [(0, 3)], 64: [(0, 5)]},
        notes=2,
    ),
    "the bend of one track": Case(
        midi([bend(0, 4096), *note(60, 240)], note(64, 240)), {61: [(0, 4)], 64: [(0, 4)]}, notes=2
    ),
    "the pedal of one track": Case(
        midi([pedal(0, 127), *note(60, 120), pedal(120, 0)], note(64, 120)), {60: [(0, 4)], 64: [(0, 2)]}, notes=2
    ),
    "a program change during a note": Case(
        one_track(pedal(0, 127), on(0, 60), program(60, 5), off(60, 60), pedal(120, 0)), {60: [(0, 4)]}
    ),
    # The pedal of the second program is unknown to the first, whose instrument was there before it.
    "a pedal of its own per program": Case(
        one_track(
            *(*note(60, 60), on(0, 62), program(60, 5), pedal(0, 127), program(0, 0), off(60, 62)),
            *(program(0, 5), pedal(180, 0)),
        ),
        {60: [(0, 1)], 62: [(1, 3)]},
        notes=2,
    ),
    # A control ahead of all notes opens a list which all instruments of the channel share from then on.
    "a pedal that the programs share": Case(
        one_track(
            *(control(0, 7, 100), *note(60, 60), on(0, 62), program(60, 5), pedal(0, 127), program(0, 0)),
            *(off(60, 62), program(0, 5), pedal(180, 0)),
        ),
        {60: [(0, 1)], 62: [(1, 6)]},
        notes=2,
    ),
    "a pedal pressed under one program, released under the next": Case(
        one_track(*note(60, 60), pedal(0, 127), on(0, 62), off(60, 62), program(0, 5), pedal(60, 0), *note(64, 60)),
        {60: [(0, 1)], 62: [(1, 2)], 64: [(3, 4)]},
        notes=3,
    ),
    "a bend ahead of the second program": Case(
        one_track(*note(60, 60), program(0, 5), bend(0, 4096), *note(64, 60), program(0, 0), *note(67, 60)),
        {60: [(0, 1)], 65: [(1, 2)], 67: [(2, 3)]},
        notes=3,
    ),
    "controls of a program that plays no note": Case(
        one_track(*note(60, 60), program(0, 5), pedal(0, 127), control(960, 7, 1)), {60: [(0, 1)]}
    ),
    "a program change on another channel": Case(
        one_track(pedal(0, 127), on(0, 60), program(60, 5, 1), off(60, 60), pedal(120, 0)), {60: [(0, 4)]}
    ),
    "the same channel on two tracks": Case(
        midi([pedal(0, 127), program(0, 5), *note(60, 60), pedal(120, 0)], [*note(62, 60), pedal(960, 127)]),
        {60: [(0, 3)], 62: [(0, 1)]},
        notes=2,
    ),
}

FILE_CASES = {
    "type 0": Case(
        midi([tempo(0, 500_000), *note(60, 240), on(0, 36, channel=DRUMS), off(60, 36, DRUMS)], file_type=0),
        {60: [(0, 4)]},
        notes=2,
    ),
    "type 1": Case(midi([tempo(0, 250_000)], note(60, 480), note(64, 960)), {60: [(0, 4)], 64: [(0, 8)]}, notes=2),
    "more tracks than sixteen bits of keys": Case(
        midi(*(note(40 + number, 60) for number in range(40))),
        {40 + number: [(0, 1)] for number in range(40)},
        notes=40,
    ),
    "meta and sysex events in between": Case(
        one_track(
            meta("track_name", name="a track"),
            meta("time_signature", numerator=3, denominator=4),
            on(0, 60),
            meta("text", 60, text="é" * 200),  # a length of two bytes
            mido.Message("sysex", time=60, data=[0x7E, 0x7F, 9, 1]),
            meta("lyrics", 0, text="la"),
            on(0, 64),
            meta("sequencer_specific", 60, data=(0, 0x90, 60, 80)),
            off(60, 60),
            meta("key_signature", 0, key="Ebm"),
            mido.Message("sysex", time=0, data=[]),
            mido.Message("polytouch", time=0, note=64, value=3),
            mido.Message("aftertouch", time=30, value=3),
            off(30, 64),
        ),
        {60: [(0, 4)], 64: [(2, 5)]},
        notes=2,
    ),
    "running status": Case(
        raw_midi(b"\x00\x90\x3c\x50" + b"\x00\x40\x51" + b"\x3c\x3c\x00" + b"\x3c\x40\x00" + END_OF_TRACK),
        {60: [(0, 1)], 64: [(0, 2)]},
        notes=2,
    ),
    "running status, one and two data bytes": Case(
        raw_midi(
            b"\x00\xc0\x05" + b"\x00\x06" + b"\x00\x90\x3c\x50" + b"\x3c\x3c\x00" + b"\x00\xd0\x05" + b"\x00\x06"
            b"\x00\xe0\x00\x60" + b"\x00\x00\x40" + b"\x00\x80\x3c\x00" + b"\x00\x3d\x00" + END_OF_TRACK
        ),
        {60: [(0, 1)]},
    ),
    "running status beyond a meta event": Case(
        raw_midi(b"\x00\x90\x3c\x50" + b"\x3c\xff\x01\x02ab" + b"\x3c\x3c\x00" + END_OF_TRACK), {60: [(0, 2)]}
    ),
    "delta times of one to four bytes": Case(
        # 0x7f = 127, 0x81 0x00 = 128, 0x81 0x80 0x00 = 16 384 and 0x81 0x80 0x80 0x00 = 2 097 152 ticks.
        raw_midi(
            *(b"\x00\x90\x3c\x50" + b"\x7f\x3c\x00" + b"\x81\x00\x3e\x50" + b"\x81\x80\x00\x3e\x00",),
            b"\x81\x80\x80\x00\x90\x40\x50" + b"\x82\x80\x00\x40\x00" + END_OF_TRACK,
            division=4096,
        ),
        {62: [(0, 32)], 64: [(4096, 4160)]},
        notes=3,
    ),
    "a track that does not say where it ends": Case(
        raw_midi(b"\x00\x90\x3c\x50" + b"\x78\x3c\x00", b"\x00\x90\x40\x50" + b"\x78\x40\x00"),
        {60: [(0, 2)], 64: [(0, 2)]},
        notes=2,
    ),
    "a longer header": Case(
        b"MThd\x00\x00\x00\x08\x00\x00\x00\x01\x01\xe0\x00\x00" + midi(note(60, 60), file_type=0)[14:], {60: [(0, 1)]}
    ),
}


def named(**groups: dict[str, Case]) -> list:
    return [
        pytest.param(case, id=f"{group}-{name.replace(' ', '_')}")
        for group, cases in groups.items()
        for name, case in cases.items()
    ]


@pytest.mark.parametrize(
    "case",
    named(
        pedal=PEDAL_CASES,
        bend=BEND_CASES,
        tempo=TEMPO_CASES,
        note=NOTE_CASES,
        instrument=INSTRUMENT_CASES,
        file=FILE_CASES,
    ),
)
def test_reads_what_pretty_midi_reads(case: Case, tmp_path: Path) -> None:
    path = write(tmp_path / "case.mid", case.content)
    song = read_song(path)
    assert sounding(song) == case.sounds
    assert len(song.pitch) == case.notes
    assert_same_song(song, pretty_midi_song(path))


# Few values, so that pedals, bends and notes of the same pitch, tick and frame meet often.
CHANNELS = st.sampled_from([0, 0, 0, 1, DRUMS])
MESSAGES = st.one_of(
    st.builds(on, st.just(0), st.sampled_from([0, 1, 60, 61, 126, 127]), st.integers(0, 127), CHANNELS),
    st.builds(on, st.just(0), st.sampled_from([60, 61]), st.sampled_from([0, 64]), CHANNELS),
    st.builds(off, st.just(0), st.sampled_from([0, 1, 60, 61, 126, 127]), CHANNELS),
    st.builds(pedal, st.just(0), st.sampled_from([0, 63, 64, 127]), CHANNELS),
    st.builds(control, st.just(0), st.sampled_from([1, 7, 66, 123]), st.integers(0, 127), CHANNELS),
    st.builds(bend, st.just(0), st.integers(-8192, 8191), CHANNELS),
    st.builds(bend, st.just(0), st.sampled_from([-8192, -4096, -1, 0, 1, 4096, 8191]), CHANNELS),
    st.builds(program, st.just(0), st.sampled_from([0, 5]), CHANNELS),
    st.builds(tempo, st.just(0), st.integers(1, (1 << 24) - 1)),
    st.builds(tempo, st.just(0), st.sampled_from([250_000, 500_000, 333_333])),
)
DELTAS = st.one_of(st.sampled_from([0, 0, 1, 20, 59, 60, 61, 120]), st.integers(0, 300))
TRACKS = st.lists(st.builds(lambda message, delta: message.copy(time=delta), MESSAGES, DELTAS), min_size=5, max_size=60)


@settings(REPEATABLE, max_examples=150)
@given(tracks=st.lists(TRACKS, min_size=1, max_size=3), ticks_per_quarter=st.sampled_from([24, 96, 480, 1000]))
def test_reads_random_messages_as_pretty_midi_does(
    tracks: list[list[Message]], ticks_per_quarter: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "random.mid"
    write(path, midi(*tracks, ticks_per_quarter=ticks_per_quarter))
    assert_same_song(read_song(path, max_seconds=float("inf")), pretty_midi_song(path))


@pytest.mark.parametrize("style", [0, 1, 2])
@pytest.mark.parametrize("frames_per_second", [8, 16, 25])
def test_reads_at_any_frame_rate(style: int, frames_per_second: int, tmp_path: Path) -> None:
    path = write(tmp_path / "song.mid", example_song(style, seed=0))
    song = read_song(path, frames_per_second=frames_per_second)
    assert len(song.frames) >= 26 * frames_per_second
    assert_same_song(song, pretty_midi_song(path, frames_per_second))


@pytest.mark.skipif(not REAL_MUSIC.is_dir(), reason="no folder shared/midi beside the repository")
def test_reads_real_music_as_pretty_midi_does() -> None:
    files = sorted(REAL_MUSIC.rglob("*.mid"))
    assert len(files) >= 40
    for path in (files[number * len(files) // 40] for number in range(40)):
        song = read_song(path)
        assert len(song.pitch) > 0, path.name
        assert_same_song(song, pretty_midi_song(path))


def test_pitch_0_is_the_highest_bit(tmp_path: Path) -> None:
    frames = read_song(write(tmp_path / "song.mid", one_track(on(0, 0), on(0, 9), off(60, 0), off(0, 9)))).frames
    assert frames.tolist() == [[0b1000_0000, 0b0100_0000] + [0] * 14]


def test_events_are_in_order_of_onset_pitch_velocity(tmp_path: Path) -> None:
    content = midi(
        [on(480, 64, 50), off(480, 64)],
        [on(0, 60, 90), on(480, 62, 80), on(0, 64, 40), off(60, 60), off(0, 62), off(0, 64)],
        [on(480, 35, 100, DRUMS), off(60, 35, DRUMS)],
    )
    song = read_song(write(tmp_path / "song.mid", content))
    assert song.onset_seconds.tolist() == [0.0, 0.5, 0.5, 0.5, 0.5]
    assert song.pitch.tolist() == [60, 35, 62, 64, 64]
    assert song.velocity.tolist() == [90, 100, 80, 40, 50]


def test_a_chunk_of_another_kind_is_skipped(tmp_path: Path) -> None:
    content = midi(note(60, 60))
    with_chunk = content[:14] + b"XFIH\x00\x00\x00\x03abc" + content[14:]
    assert_same_song(
        read_song(write(tmp_path / "with.mid", with_chunk)), read_song(write(tmp_path / "without.mid", content))
    )


SOUND = midi(note())
DAMAGED = {
    "empty": (b"", "not a MIDI file"),
    "not MIDI": (b"RIFF\x10\x00\x00\x00WAVEfmt " + bytes(40), "not a MIDI file"),
    "text": (b"<html>404 not found</html>", "not a MIDI file"),
    "header cut off": (SOUND[:12], "not a MIDI file"),
    "header alone": (SOUND[:14], "no track"),
    "truncated": (SOUND[:-6], "truncated"),
    "truncated in the last track": (midi(note(), note())[:-1], "truncated"),
    "event past the end": (raw_midi(b"\x00\x90\x3c\x50" + b"\x60\x80\x3c"), "past the end of its track"),
    "delta time past the end": (raw_midi(b"\x00\x90\x3c\x50" + b"\x83"), "past the end of its track"),
    "text past the end": (raw_midi(b"\x00\xff\x01\x7fabc"), "past the end of its track"),
    "event into the next track": (raw_midi(b"\x00\x90", b"\x00\x90\x3c\x50"), "past the end of its track"),
    "SMPTE time": (raw_midi(END_OF_TRACK, division=0xE728), "time division"),
    "no time division": (raw_midi(END_OF_TRACK, division=0), "time division"),
    "no status": (raw_midi(b"\x00\x3c\x40" + END_OF_TRACK), "no status"),
    "no status in the second track": (
        raw_midi(b"\x00\x90\x3c\x50" + END_OF_TRACK, b"\x00\x3c\x40" + END_OF_TRACK),
        "no status",
    ),
    "first data byte": (raw_midi(b"\x00\x90\x85\x50" + END_OF_TRACK), "data byte is above 127"),
    "second data byte": (raw_midi(b"\x00\xb0\x07\xff" + END_OF_TRACK), "data byte is above 127"),
    "only data byte": (raw_midi(b"\x00\xc0\x80" + END_OF_TRACK), "data byte is above 127"),
    "tempo of zero": (raw_midi(b"\x00\xff\x51\x03\x00\x00\x00" + END_OF_TRACK), "tempo of zero"),
    "too long": (midi([on(0, 60), off(3601 * TICKS_PER_SECOND, 60)]), "lasts 60 minutes, more than the 60 allowed"),
    "too long in silence": (midi([*note(), pedal(9000 * TICKS_PER_SECOND, 0)]), "lasts 150 minutes"),
}


@pytest.mark.parametrize(("content", "reason"), DAMAGED.values(), ids=[name.replace(" ", "_") for name in DAMAGED])
def test_a_damaged_file_is_refused_with_its_reason(content: bytes, reason: str, tmp_path: Path) -> None:
    path = write(tmp_path / "a_name_to_leave_out.mid", content)
    with pytest.raises(MidiError, match=reason) as caught:
        read_song(path)
    assert path.name not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_longest_allowed_time_is_allowed(tmp_path: Path) -> None:
    path = write(tmp_path / "song.mid", midi(note(60, 10 * TICKS_PER_SECOND)))
    assert sounding(read_song(path, max_seconds=10.0)) == {60: [(0, 160)]}
    with pytest.raises(MidiError, match=r"more than the 0\.1 allowed"):
        read_song(path, max_seconds=6.0)


def test_a_missing_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_song(tmp_path / "missing.mid")


VALID = midi(
    [tempo(0, 400_000), meta("text", 0, text="some text"), mido.Message("sysex", data=[1, 2, 3])],
    [program(0, 5), pedal(0, 127), *itertools.chain(*(note(60 + step, 200) for step in range(8))), pedal(0, 0)],
    [on(0, 36, channel=DRUMS), off(200, 36, DRUMS), bend(0, 3000, 1), on(0, 70, 90, 1), off(900, 70, 1)],
)
EDITS = st.lists(
    st.tuples(st.integers(0, len(VALID) - 1), st.one_of(st.integers(0, 255), st.sampled_from([0, 0x7F, 0x80, 0xFF]))),
    max_size=8,
)


@settings(REPEATABLE, max_examples=400)
@given(
    edits=EDITS,
    removed=st.one_of(st.just(slice(0, 0)), st.slices(len(VALID))),
    cut=st.one_of(st.just(0), st.integers(0, 60)),
)
def test_damage_raises_nothing_but_midi_error(
    edits: list[tuple[int, int]], removed: slice, cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = bytearray(VALID)
    for position, value in edits:
        content[position] = value
    del content[removed]
    path = write(tmp_path_factory.getbasetemp() / "damaged.mid", bytes(content[: len(content) - cut]))
    try:
        song = read_song(path)
    except MidiError as error:
        assert str(error)
        return
    assert song.frames.shape[1:] == (16,)
    assert len(song.onset_seconds) == len(song.pitch) == len(song.velocity)
    assert (np.diff(song.onset_seconds) >= 0).all()
    assert song.pitch.max(initial=0) <= 127
    assert song.velocity.min(initial=1) >= 1
