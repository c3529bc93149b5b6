"""Rolls and note events of MIDI files equal those of `pretty_midi`, bit for bit."""

from pathlib import Path

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
from song_cases import (
    assert_read_as_by_pretty_midi,
    assert_same_song,
    note,
    one_track,
    pretty_midi_song,
    sounding,
)

from data.smf import MidiError
from data.song import read_song

REAL_MUSIC = Path(__file__).resolve().parents[3] / "shared" / "midi"
# The same examples in every run.
REPEATABLE = settings(derandomize=True, deadline=None, database=None)

CASES = {
    # Tempo
    "several": one_track(tempo(0, 500_000), *note(60), tempo(0, 250_000), *note(62), tempo(0, 1_000_000), *note(64)),
    "within a note": one_track(on(0, 60), tempo(240, 1_000_000), off(240, 60)),
    "at tick 0 twice": one_track(tempo(0, 250_000), tempo(0, 1_000_000), *note()),
    "at a later tick twice": one_track(on(0, 60), tempo(480, 250_000), tempo(0, 1_000_000), off(480, 60)),
    "repeated": one_track(tempo(0, 333_333), on(0, 60), tempo(7, 333_333), tempo(100, 333_333), off(373, 60)),
    "there and back": one_track(on(0, 60), tempo(101, 700_001), tempo(103, 500_000), tempo(0, 700_001), off(276, 60)),
    "the default until the first": one_track(on(0, 60), tempo(480, 250_000), off(480, 60)),
    "after the last note": one_track(*note(), tempo(480, 250_000)),
    "on the first track, for all": midi([tempo(0, 500_000), tempo(480, 250_000)], note(60, 960), note(62, 480)),
    "on a second track, ignored": midi([tempo(0, 500_000)], [tempo(0, 250_000), *note()]),
    "on a second track alone, ignored": midi(note(64), [tempo(0, 250_000)]),
    "96 ticks per quarter note": midi(note(60, 96), ticks_per_quarter=96),
    # Pairs of note-on and note-off
    "drums": one_track(on(0, 36, channel=DRUMS), off(480, 36, DRUMS)),
    "drums longer than the rest": one_track(on(0, 60), on(0, 36, channel=DRUMS), off(240, 60), off(720, 36, DRUMS)),
    "the channels next to the drums": one_track(
        on(0, 60, channel=8), on(0, 62, channel=10), off(240, 60, 8), off(240, 62, 10)
    ),
    "one note-off ends both": one_track(on(0, 60, 70), on(120, 60, 90), off(120, 60), off(120, 60)),
    "note-on of velocity 0 ends a note": one_track(on(0, 60), on(240, 60, 0), off(240, 60)),
    "no length": one_track(on(0, 60), off(0, 60), on(60, 62), off(60, 62)),
    "no length while one sounds": one_track(on(0, 60), on(240, 60), off(0, 60), off(240, 60)),
    "no length, then a second note-off": one_track(on(0, 60), on(240, 60), off(0, 60), off(0, 60), off(240, 60)),
    "ends and begins on one tick": one_track(on(0, 60), off(240, 60), on(0, 60), off(240, 60)),
    "begins before the other ends, on one tick": one_track(
        on(0, 60), on(240, 60), on(0, 60, 20), off(0, 60), off(240, 60)
    ),
    "never ended": one_track(on(0, 60), on(0, 64), off(240, 64), control(240, 7, 0)),
    "never begun": one_track(off(0, 60), on(60, 64), off(60, 60), off(60, 64), off(60, 64)),
    "note-off on another channel": one_track(on(0, 60), off(120, 60, 1), off(120, 60), on(60, 61, channel=1)),
    "note-off on another track": midi([on(0, 60), off(480, 60)], [off(120, 60)]),
    "shorter than a frame": one_track(on(10, 60), off(40, 60)),
    "across a frame border": one_track(on(59, 60), off(2, 60)),
    "lowest and highest": one_track(on(0, 0), on(0, 127), off(60, 0), off(60, 127)),
    "all velocities in order": one_track(*(on(0, 60, velocity) for velocity in (3, 127, 1)), off(60, 60)),
    "no length, a second one on its tick, then a later note-off": one_track(
        on(0, 60), on(60, 60), on(0, 60), off(0, 60), on(0, 60), off(0, 60), on(60, 60), off(60, 60)
    ),
    "kept on tick after tick": one_track(
        on(0, 60), *(message for _ in range(3) for message in (on(60, 60), off(0, 60))), off(60, 60)
    ),
    # Instruments: programs, channels and tracks
    "the pedal of one channel": one_track(
        pedal(0, 127, 1), on(0, 60), on(0, 64, channel=1), off(120, 60), off(0, 64, 1), pedal(120, 0, 1)
    ),
    "the pedals of two channels": one_track(
        *(pedal(0, 127, 0), pedal(0, 127, 1), on(0, 60), on(0, 64, channel=1), off(120, 60), off(0, 64, 1)),
        *(pedal(60, 0, 0), pedal(120, 0, 1)),
    ),
    "the bend of one track": midi([bend(0, 4096), *note(60, 240)], note(64, 240)),
    "the pedal of one track": midi([pedal(0, 127), *note(60, 120), pedal(120, 0)], note(64, 120)),
    "a program change during a note": one_track(pedal(0, 127), on(0, 60), program(60, 5), off(60, 60), pedal(120, 0)),
    # The pedal of the second program does not apply to the first, which got its instrument before.
    "a separate pedal for each program": one_track(
        *(*note(60, 60), on(0, 62), program(60, 5), pedal(0, 127), program(0, 0), off(60, 62)),
        *(program(0, 5), pedal(180, 0)),
    ),
    # A control ahead of all notes opens a list which all instruments of the channel share from then on.
    "a pedal that the programs share": one_track(
        *(control(0, 7, 100), *note(60, 60), on(0, 62), program(60, 5), pedal(0, 127), program(0, 0)),
        *(off(60, 62), program(0, 5), pedal(180, 0)),
    ),
    "a pedal pressed under one program, released under the next": one_track(
        *note(60, 60), pedal(0, 127), on(0, 62), off(60, 62), program(0, 5), pedal(60, 0), *note(64, 60)
    ),
    "a bend ahead of the second program": one_track(
        *note(60, 60), program(0, 5), bend(0, 4096), *note(64, 60), program(0, 0), *note(67, 60)
    ),
    "controls of a program that plays no note": one_track(
        *note(60, 60), program(0, 5), pedal(0, 127), control(960, 7, 1)
    ),
    "a program change on another channel": one_track(
        pedal(0, 127), on(0, 60), program(60, 5, 1), off(60, 60), pedal(120, 0)
    ),
    "the same channel on two tracks": midi(
        [pedal(0, 127), program(0, 5), *note(60, 60), pedal(120, 0)], [*note(62, 60), pedal(960, 127)]
    ),
}


@pytest.mark.parametrize("content", CASES.values(), ids=CASES)
def test_reads_what_pretty_midi_reads(content: bytes, tmp_path: Path) -> None:
    assert_read_as_by_pretty_midi(content, tmp_path)


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


def assert_random_song(path: Path) -> None:
    """The song as `pretty_midi` reads it, or no song where it has no note."""
    expected = pretty_midi_song(path)
    if len(expected.pitch):
        assert_same_song(read_song(path, max_seconds=float("inf")), expected)
    else:
        with pytest.raises(MidiError, match="no note"):
            read_song(path, max_seconds=float("inf"))


@settings(REPEATABLE, max_examples=150)
@given(tracks=st.lists(TRACKS, min_size=1, max_size=3), ticks_per_quarter=st.sampled_from([24, 96, 480, 1000]))
def test_reads_random_messages_as_pretty_midi_does(
    tracks: list[list[Message]], ticks_per_quarter: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "random.mid"
    write(path, midi(*tracks, ticks_per_quarter=ticks_per_quarter))
    assert_random_song(path)


SWITCHES = st.lists(st.sampled_from([on(0, 60), off(0, 60), on(1, 60), off(1, 60)]), min_size=4, max_size=30)


@settings(REPEATABLE, max_examples=150)
@given(switches=SWITCHES)
def test_reads_notes_without_length_as_pretty_midi_does(
    switches: list[Message], tmp_path_factory: pytest.TempPathFactory
) -> None:
    # A frame is one tick.
    assert_random_song(write(tmp_path_factory.getbasetemp() / "dense.mid", midi(switches, ticks_per_quarter=8)))


@pytest.mark.parametrize("style", [0, 1, 2])
@pytest.mark.parametrize("frames_per_second", [8, 16, 25])
def test_reads_at_any_frame_rate(style: int, frames_per_second: int, tmp_path: Path) -> None:
    path = write(tmp_path / "song.mid", example_song(style, seed=0))
    song = read_song(path, frames_per_second=frames_per_second)
    assert len(song.frames) >= 26 * frames_per_second
    assert_same_song(song, pretty_midi_song(path, frames_per_second))


if REAL_MUSIC.is_dir():  # a collection of music beside the repository, which is no part of it

    def test_reads_real_music_as_pretty_midi_does() -> None:
        files = sorted(REAL_MUSIC.rglob("*.mid"))
        assert len(files) >= 40
        for path in (files[number * len(files) // 40] for number in range(40)):
            song = read_song(path)
            assert len(song.pitch) > 0, path.name
            assert_same_song(song, pretty_midi_song(path))


NOT_ENDED = "no note in it ends: none of its note-ons has a note-off later on"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (one_track(control(0, 7, 100), pedal(960, 127)), "no note in it$"),
        (one_track(), "no note in it$"),
        (one_track(*(on(60, 60 + number) for number in range(16)), pedal(60, 0)), NOT_ENDED),
        (one_track(on(0, 60), off(0, 60), off(60, 60)), NOT_ENDED),
        (one_track(on(0, 60), off(60, 61)), NOT_ENDED),
        (raw_midi(b"", b""), "the length of every track is 0"),
        (midi(note())[:10] + b"\0\0" + midi(note())[12:], "its header counts 0 tracks"),
    ],
    ids=["controls", "nothing", "never_ended", "no_length", "other_pitch", "empty_tracks", "zero_tracks"],
)
def test_a_file_without_a_note_is_refused_with_what_is_missing(content: bytes, reason: str, tmp_path: Path) -> None:
    with pytest.raises(MidiError, match=reason):
        read_song(write(tmp_path / "song.mid", content))


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


def test_the_longest_allowed_time_is_allowed(tmp_path: Path) -> None:
    path = write(tmp_path / "song.mid", midi(note(60, 10 * TICKS_PER_SECOND)))
    assert sounding(read_song(path, max_seconds=10.0)) == {60: [(0, 160)]}
    with pytest.raises(MidiError, match=r"more than the 0\.1 allowed"):
        read_song(path, max_seconds=6.0)
