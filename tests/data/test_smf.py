"""Bytes of MIDI files: every valid form and wrapper is read, damaged and absurd files are refused."""

import contextlib
import itertools
import tracemalloc
from pathlib import Path

import mido
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from midi_files import DRUMS, TICKS_PER_SECOND, bend, chunk, midi, off, on, pedal, program, raw_midi, tempo, write
from song_cases import (
    assert_read_as_by_pretty_midi,
    assert_same_song,
    meta,
    note,
    one_track,
    pretty_midi_song,
    sounding,
)

from data import smf
from data.smf import MAX_BYTES, MidiError
from data.song import read_song

END_OF_TRACK = b"\x00\xff\x2f\x00"
# The same examples in every run.
REPEATABLE = settings(derandomize=True, deadline=None, database=None)

SET_240 = (250_000).to_bytes(3, "big")  # quarter notes a minute
NOTE = b"\x00\x90\x3c\x50" + b"\x83\x60\x80\x3c\x00"  # 480 ticks of pitch 60

FILE_CASES = {
    "type 0": midi([tempo(0, 500_000), *note(60, 240), on(0, 36, channel=DRUMS), off(60, 36, DRUMS)], file_type=0),
    "type 1": midi([tempo(0, 250_000)], note(60, 480), note(64, 960)),
    "more tracks than sixteen bits of keys": midi(*(note(40 + number, 60) for number in range(40))),
    "meta and sysex events in between": one_track(
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
    "running status": raw_midi(
        b"\x00\x90\x3c\x50" + b"\x00\x40\x51" + b"\x3c\x3c\x00" + b"\x3c\x40\x00" + END_OF_TRACK
    ),
    "running status, one and two data bytes": raw_midi(
        b"\x00\xc0\x05" + b"\x00\x06" + b"\x00\x90\x3c\x50" + b"\x3c\x3c\x00" + b"\x00\xd0\x05" + b"\x00\x06"
        b"\x00\xe0\x00\x60" + b"\x00\x00\x40" + b"\x00\x80\x3c\x00" + b"\x00\x3d\x00" + END_OF_TRACK
    ),
    "running status beyond a meta event": raw_midi(
        b"\x00\x90\x3c\x50" + b"\x3c\xff\x01\x02ab" + b"\x3c\x3c\x00" + END_OF_TRACK
    ),
    "delta times of one to four bytes": raw_midi(
        *(b"\x00\x90\x3c\x50" + b"\x7f\x3c\x00" + b"\x81\x00\x3e\x50" + b"\x81\x80\x00\x3e\x00",),
        b"\x81\x80\x80\x00\x90\x40\x50" + b"\x82\x80\x00\x40\x00" + END_OF_TRACK,
        division=4096,
    ),
    "a track that does not say where it ends": raw_midi(
        b"\x00\x90\x3c\x50" + b"\x78\x3c\x00", b"\x00\x90\x40\x50" + b"\x78\x40\x00"
    ),
    **{
        f"a tempo whose length is written {length.hex(' ')}": raw_midi(
            b"\x00\xff\x51" + length + SET_240 + extra + NOTE + END_OF_TRACK
        )
        for length, extra in (
            *((b"\x80\x03", b""), (b"\x80\x80\x03", b""), (b"\x80\x80\x80\x03", b"")),
            *((b"\x04", b"\x00"), (b"\x06", b"\x90\x91\x92"), (b"\x80\x04", b"\xff")),
        )
    },
    "a longer header": b"MThd\x00\x00\x00\x08\x00\x00\x00\x01\x01\xe0\x00\x00" + midi(note(60, 60), file_type=0)[14:],
}


@pytest.mark.parametrize("content", FILE_CASES.values(), ids=FILE_CASES)
def test_reads_what_pretty_midi_reads(content: bytes, tmp_path: Path) -> None:
    assert_read_as_by_pretty_midi(content, tmp_path)


def test_time_before_unknown_meta_events_counts(tmp_path: Path) -> None:
    """The parser of `pretty_midi` drops it: there the note begins on frame 0."""
    path = write(tmp_path / "song.mid", raw_midi(b"\x3c\xff\x70\x01\x00" + NOTE + END_OF_TRACK))
    assert sounding(read_song(path)) == {60: [(1, 9)]}
    assert sounding(pretty_midi_song(path)) == {60: [(0, 8)]}


SOUND = midi(note())
TWO = midi(note(60), note(64))
TWO_TRACKS = TWO.index(b"MTrk", 20)  # where the second track begins
ALIEN = chunk(b"XFIH", b"abc")


def macbinary(content: bytes) -> bytes:
    """As a Macintosh sends a file: a header of 128 bytes, the content, filled up to 128 bytes, and more behind it."""
    header = bytearray(128)
    header[1:10] = b"\x08song.mid"
    header[65:73] = b"MidiPMID"
    header[83:87] = len(content).to_bytes(4, "big")
    return bytes(header) + content + bytes(-len(content) % 128) + b"resources".ljust(128, b"\0")


def riff(*chunks: tuple[bytes, bytes], kind: bytes = b"RMID") -> bytes:
    parts = b"".join(
        name + len(content).to_bytes(4, "little") + content + bytes(len(content) % 2) for name, content in chunks
    )
    return b"RIFF" + (4 + len(parts)).to_bytes(4, "little") + kind + parts


@pytest.mark.parametrize(
    ("content", "inside"),
    [
        (SOUND[:14] + ALIEN + SOUND[14:], SOUND),
        (TWO[:TWO_TRACKS] + ALIEN + TWO[TWO_TRACKS:], TWO),
        (TWO + ALIEN, TWO),
        (TWO + b"\0" * 100, TWO),
        (TWO + b"junk at the end, \xff\xff of any kind", TWO),
        (raw_midi(NOTE) + b"\0" * 7, SOUND),  # zeros behind a track without an end-of-track event
        (TWO + b"MTrk", TWO),
        (TWO + chunk(b"MTrk", bytes(9)), TWO),  # more than the header counts
        (riff((b"data", SOUND)), SOUND),
        (riff((b"LIST", b"INFOodd"), (b"data", SOUND), (b"DISP", b"1234")), SOUND),
        (macbinary(SOUND), SOUND),
        (macbinary(riff((b"data", TWO))), TWO),
    ],
    ids=[
        *("alien_first", "alien_between", "alien_last", "zeros_behind", "junk_behind", "zeros_behind_no_end"),
        *("begun_behind", "track_too_many", "riff", "riff_of_many_chunks", "macbinary", "macbinary_of_riff"),
    ],
)
def test_what_lies_around_the_tracks_is_harmless(content: bytes, inside: bytes, tmp_path: Path) -> None:
    song = read_song(write(tmp_path / "around.mid", content))
    assert sounding(song)[60] == [(0, 8)]
    assert_same_song(song, read_song(write(tmp_path / "plain.mid", inside)))


def with_length(content: bytes, n_bytes: int) -> bytes:
    """The file with another length of its first track."""
    return content[:18] + n_bytes.to_bytes(4, "big") + content[22:]


DAMAGED = {
    "empty": (b"", "not a MIDI file"),
    "not MIDI": (b"RIFF\x10\x00\x00\x00WAVEfmt " + bytes(40), "not a MIDI file"),
    "header cut off": (SOUND[:12], "not a MIDI file"),
    "truncated": (SOUND[:-6], "truncated"),
    "event past the end": (raw_midi(b"\x00\x90\x3c\x50" + b"\x60\x80\x3c"), "past the end of its track"),
    "delta time past the end": (raw_midi(b"\x00\x90\x3c\x50" + b"\x83"), "past the end of its track"),
    "text past the end": (raw_midi(b"\x00\xff\x01\x7fabc"), "past the end of its track"),
    "event into the next track": (raw_midi(b"\x00\x90", b"\x00\x90\x3c\x50"), "past the end of its track"),
    "stray bytes between tracks": (TWO[:TWO_TRACKS] + b"\x12stray" + TWO[TWO_TRACKS:], "only 1 of its 2 tracks can"),
    "cut off between tracks": (TWO[:TWO_TRACKS], "only 1 of its 2 tracks"),
    "cut off in a chunk header": (TWO[: TWO_TRACKS + 6], "only 1 of its 2 tracks"),
    "tracks that are not there": (SOUND[:10] + b"\xff\xff" + SOUND[12:], "only 1 of its 65535 tracks"),
    "a track that swallows the next": (with_length(TWO, len(TWO) - 22), "only 1 of its 2 tracks"),
    "track length of zero": (with_length(SOUND, 0), "length of a track is given as 0 bytes, but the track goes on"),
    "track length too small": (with_length(SOUND, 4), "length of a track is given as 4 bytes, but the track goes on"),
    "a delta time without end": (raw_midi(b"\x80\x80\x80\x80\x00\x90\x3c\x50" + END_OF_TRACK), "more than four bytes"),
    "a tempo of two bytes": (raw_midi(b"\x00\xff\x51\x02\x07\xa1" + NOTE), "a tempo has fewer than three bytes"),
    "RIFF without data": (riff((b"LIST", b"INFO")), r"a RIFF file \(RMID\) without MIDI data"),
    "RIFF cut off": (riff((b"data", SOUND))[:-6], "truncated"),
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


@pytest.mark.parametrize("block_bytes", [1, 5, 64])
def test_a_file_may_be_read_in_blocks(block_bytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "song.mid", VALID)
    whole = read_song(path)
    monkeypatch.setattr(smf, "_BLOCK_BYTES", block_bytes)
    assert_same_song(read_song(path), whole)
    truncated = write(tmp_path / "past.mid", raw_midi(b"\x00\x90\x3c\x50" * 30 + b"\x60\x80\x3c", NOTE))
    with pytest.raises(MidiError, match="past the end of its track"):
        read_song(truncated)


def test_a_file_above_the_largest_size_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    large = tmp_path / "large.mid"
    with large.open("wb") as file:
        file.truncate(100_000_000)
    with pytest.raises(MidiError, match=f"too large: 100,000,000 bytes, more than the {MAX_BYTES:,} allowed"):
        read_song(large)
    assert peak_bytes(large) < 1e6
    path = write(tmp_path / "song.mid", SOUND)
    monkeypatch.setattr("data.smf.MAX_BYTES", len(SOUND))
    assert sounding(read_song(path)) == {60: [(0, 8)]}
    monkeypatch.setattr("data.smf.MAX_BYTES", len(SOUND) - 1)
    with pytest.raises(MidiError, match="too large"):
        read_song(path)


@pytest.mark.parametrize(
    ("content", "n_notes", "megabytes"),
    [
        (raw_midi(*[b""] * 15_999, NOTE), 1, 15),
        (raw_midi(*[b""] * 15_999, b"\x00\xcf\x7f\x00\x9f\x3c\x50\x83\x60\x8f\x3c\x00"), 1, 15),
        (raw_midi(bytes(1_000_000)), None, 60),
        (raw_midi(b"\x00\xff\x01\xbd\x84\x40" + bytes(1_000_000) + NOTE), 1, 6),
        (raw_midi(NOTE * 50_000, division=32_767), 50_000, 50),
    ],
    ids=["empty_tracks", "last_channel_and_program", "zeros", "a_long_text", "notes"],
)
def test_absurd_files_take_a_bounded_memory(
    content: bytes, n_notes: int | None, megabytes: int, tmp_path: Path
) -> None:
    path = write(tmp_path / "absurd.mid", content)
    assert peak_bytes(path) < megabytes * 1e6
    if n_notes is None:
        with pytest.raises(MidiError, match="an event has no status"):
            read_song(path)
    else:
        assert len(read_song(path).pitch) == n_notes


def peak_bytes(path: Path) -> int:
    """Memory that reading a file takes, whether it is accepted or not."""
    tracemalloc.start()
    with contextlib.suppress(MidiError):
        read_song(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak
