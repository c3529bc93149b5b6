"""Pedal, pitch bends and overlapping notes in the roll: as in `pretty_midi`, in bounded memory."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from midi_files import Message, bend, control, midi, off, on, pedal, write
from song_cases import assert_read_as_by_pretty_midi, assert_same_song, note, one_track, pretty_midi_song

from data import sounding
from data.song import read_song

HOUR = 3580 * 960  # ticks, nearly an hour


CASES = {
    "held to the release": one_track(pedal(0, 127), on(0, 60), off(240, 60), pedal(360, 0)),
    "never released": one_track(pedal(0, 127), on(0, 60), off(240, 60), control(360, 7, 0)),
    "pressed twice": one_track(pedal(0, 127), on(0, 60), off(120, 60), pedal(60, 100), pedal(180, 0), pedal(120, 0)),
    "64 is down, 63 is up": one_track(pedal(0, 64), on(0, 60), off(120, 60), pedal(240, 63)),
    "63 is not down": one_track(pedal(0, 63), on(0, 60), off(120, 60), pedal(240, 0)),
    "pressed within the note": one_track(on(0, 60), pedal(120, 127), off(120, 60), pedal(240, 0)),
    "pressed in the last frame": one_track(on(0, 60), pedal(60, 127), off(60, 60), pedal(240, 0)),
    "pressed in the frame after": one_track(on(0, 60), pedal(70, 127), off(40, 60), pedal(250, 0)),
    "pressed after the note": one_track(on(0, 60), off(120, 60), pedal(60, 127), pedal(240, 0)),
    "changed at once": one_track(pedal(0, 127), on(0, 60), off(120, 60), pedal(120, 0), pedal(0, 127), pedal(240, 0)),
    "pressed again within the note": one_track(
        pedal(0, 127), on(0, 60), pedal(60, 0), pedal(60, 127), off(120, 60), pedal(240, 0)
    ),
    "struck again under it": one_track(pedal(0, 127), *note(60, 120), on(120, 60), off(120, 60), pedal(120, 0)),
    "several pitches": one_track(pedal(0, 127), *note(60, 120), *note(64, 120), pedal(120, 0), *note(67, 120)),
    "note shorter than a frame": one_track(pedal(0, 127), *note(60, 30), pedal(450, 0)),
    "another control": one_track(control(0, 66, 127), *note(60, 120), control(240, 66, 0)),
    # Pitch bends: -8192 to 8191 is two semitones.
    **{
        f"{pitch} bent by {value}": one_track(bend(0, value), *note(pitch, 240))
        for pitch, values in {
            60: (-8192, -5000, -4096, 1, 4096, 5000, 8191),
            0: (-8192, -1000),
            126: (5000,),
            127: (1000, 4096),
        }.items()
        for value in values
    },
    "within a note": one_track(on(0, 60), bend(240, 4096), bend(240, 0), off(240, 60)),
    "two in one frame": one_track(on(0, 60), bend(120, 4096), bend(10, -4096), off(350, 60)),
    "two on one tick": one_track(bend(0, 4096), bend(0, -4096), *note(60, 240)),
    "the frame it falls in": one_track(on(0, 60), bend(119, 4096), off(121, 60)),
    "under the pedal": one_track(pedal(0, 127), *note(60, 120), bend(120, 4096), pedal(240, 0)),
    "onto another note": one_track(bend(0, 4096), on(0, 60), on(0, 61), off(240, 60), off(240, 61)),
    "another channel": one_track(bend(0, 4096, 1), *note(60, 240)),
    "on a channel without notes, far behind them": one_track(*note(60, 240), bend(16_000, 4096, 1)),
    "back and forth between the same pitches": one_track(
        bend(0, 100), on(0, 60), bend(60, 3000), bend(60, 100), bend(60, 0), off(60, 60)
    ),
}


@pytest.mark.parametrize("content", CASES.values(), ids=CASES)
def test_reads_what_pretty_midi_reads(content: bytes, tmp_path: Path) -> None:
    assert_read_as_by_pretty_midi(content, tmp_path)


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
