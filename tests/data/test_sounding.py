"""Pedal, pitch bends and overlapping notes in the roll: by hand, as in `pretty_midi`, and in bounded memory."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from midi_files import Message, bend, control, midi, off, on, pedal, write
from song_cases import (
    Case,
    assert_read_as_by_pretty_midi,
    assert_same_song,
    named,
    note,
    one_track,
    pretty_midi_song,
)

from data import sounding
from data.song import read_song

HOUR = 3580 * 960  # ticks, nearly an hour


def bent_note(pitch: int, value: int) -> bytes:
    return one_track(bend(0, value), on(0, pitch), off(240, pitch))


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
    "another control": Case(one_track(control(0, 66, 127), *note(60, 120), control(240, 66, 0)), {60: [(0, 2)]}),
}

BEND_CASES = {
    "a semitone up": Case(bent_note(60, 4096), {61: [(0, 4)]}),
    "a semitone down": Case(bent_note(60, -4096), {59: [(0, 4)]}),
    "all the way down, two semitones": Case(bent_note(60, -8192), {58: [(0, 4)]}),
    "all the way up, just under two": Case(bent_note(60, 8191), {61: [(0, 4)], 62: [(0, 4)]}),
    "the least up": Case(bent_note(60, 1), {60: [(0, 4)], 61: [(0, 4)]}),
    "a fraction up": Case(bent_note(60, 5000), {61: [(0, 4)], 62: [(0, 4)]}),
    "a fraction down": Case(bent_note(60, -5000), {58: [(0, 4)], 59: [(0, 4)]}),
    "highest key, a fraction up": Case(bent_note(127, 1000), {127: [(0, 4)]}),
    "highest key, a semitone up": Case(bent_note(127, 4096), {}),
    "one below, over the top": Case(bent_note(126, 5000), {127: [(0, 4)]}),
    "lowest key, a fraction down": Case(bent_note(0, -1000), {0: [(0, 4)]}),
    "lowest key, two semitones down": Case(bent_note(0, -8192), {}),
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
    "on a channel without notes, far behind them": Case(
        one_track(*note(60, 240), bend(16_000, 4096, 1)), {60: [(0, 4)]}
    ),
    "back and forth between the same pitches": Case(
        one_track(bend(0, 100), on(0, 60), bend(60, 3000), bend(60, 100), bend(60, 0), off(60, 60)),
        {60: [(0, 4)], 61: [(0, 3)]},
    ),
}


@pytest.mark.parametrize("case", named(pedal=PEDAL_CASES, bend=BEND_CASES))
def test_reads_what_pretty_midi_reads(case: Case, tmp_path: Path) -> None:
    assert_read_as_by_pretty_midi(case, tmp_path)


def piled(n_notes: int) -> list[Message]:
    """Notes of one pitch on one tick that a single note-off ends an hour later."""
    return [*(on(0, 60) for _ in range(n_notes)), off(HOUR, 60)]


def pedalled(n_notes: int) -> list[Message]:
    """Notes of many pitches under one pedal, pressed at the start and let go after an hour."""
    notes = [message for number in range(n_notes) for message in note(number * 37 % 128, 96)]
    return [pedal(0, 127), *notes, pedal(HOUR - 96 * n_notes, 0)]


def bent(notes: list[Message], n_bends: int) -> list[Message]:
    """The same with bends up and down, half a semitone and more, ahead of their end."""
    *begun, end = notes
    bends = [bend(900, (number * 2731 - 8192) % 16384 - 8192) for number in range(n_bends)]
    return [*begun, *bends, end.copy(time=end.time - 900 * n_bends)]


# A roll of an hour has 7 MB of cells. Cell by cell and note by note, these files would take gigabytes.
@pytest.mark.parametrize(
    ("track", "megabytes"),
    [(piled(3000), 20), (pedalled(1000), 20), (bent(piled(1000), 2000), 30), (bent(pedalled(500), 2000), 100)],
    ids=["piled", "pedalled", "piled_bent", "pedalled_bent"],
)
def test_many_notes_on_a_key_take_no_more_memory_than_one(track: list[Message], megabytes: int, tmp_path: Path) -> None:
    path = write(tmp_path / "song.mid", midi(track))
    tracemalloc.start()
    song = read_song(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < megabytes * 1e6
    assert_same_song(song, pretty_midi_song(path))


def test_bent_notes_may_come_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "song.mid", midi([*bent(pedalled(20), 50)[:-1], pedal(900, 0)], bent(piled(5), 40)))
    whole = read_song(path, max_seconds=7200)
    assert np.unpackbits(whole.frames).sum() > 20 * 50
    for n_pieces in (1, 7, 100):
        monkeypatch.setattr(sounding, "_PIECES_AT_ONCE", n_pieces)
        assert_same_song(read_song(path, max_seconds=7200), whole)
