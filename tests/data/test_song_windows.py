"""Windows of a single file equal those from a store."""

from pathlib import Path

import numpy as np
import pytest
import torch
from midi_files import example_song, midi, off, on, write

from common.errors import UserError
from data.song import read_song
from data.song_windows import read_song_windows, song_windows
from data.store import RollStore
from data.windows import WindowSource


@pytest.mark.parametrize("seq_len", [32, 128])
def test_same_windows_as_from_a_store(tiny_store: Path, seq_len: int) -> None:
    store = RollStore.open(tiny_store)
    source = WindowSource(store, "test", seq_len)
    seen = 0
    for number in source.song.unique().tolist():
        row = store.songs[number]
        song = read_song(tiny_store.parent / "midi" / row.path)
        batch = song_windows(song, seq_len, row.genre_id)
        expected = source.batch((source.song == number).nonzero()[:, 0])
        for field, ours, theirs in zip(batch._fields, batch, expected, strict=True):
            assert ours.dtype == theirs.dtype, field
            assert torch.equal(ours, theirs), field
        seen += len(batch.roll)
    assert seen == len(source) > 3


def test_the_end_is_filled_up_with_silence(tmp_path: Path) -> None:
    song = read_song(write(tmp_path / "song.mid", example_song(1, 0)))
    n_frames = len(song.frames)
    assert n_frames % 128
    whole, padded = (song_windows(song, 128, 2, pad_end=pad_end) for pad_end in (False, True))
    assert len(padded.roll) == len(whole.roll) + 1 == n_frames // 128 + 1
    roll = torch.cat(list(padded.roll), dim=1)
    np.testing.assert_array_equal(roll[:, :n_frames].T, np.unpackbits(song.frames, axis=1))
    assert not roll[:, n_frames:].any()
    assert len(padded.events) == len(song.pitch)
    assert padded.genre.tolist() == [2] * len(padded.roll)
    assert float(padded.events[:, 0].min()) >= 0
    assert float(padded.events[:, 0].max()) < 1


def test_a_file_shorter_than_a_window_is_one_window(tmp_path: Path) -> None:
    path = write(tmp_path / "short.mid", midi([on(480, 60, 64), off(480, 60)]))
    batch, n_frames = read_song_windows(path, 32, 1)
    assert n_frames == 16
    assert batch.roll.shape == (1, 128, 32)
    assert batch.roll[0, 60].nonzero()[:, 0].tolist() == list(range(8, 16))
    torch.testing.assert_close(batch.events, torch.tensor([[0.25, 60 / 127, 64 / 127]]))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"not MIDI", "song.mid: not a MIDI file"),
        (midi([on(0, 36, 80, 9), off(480, 36, 9)]), "song.mid: no pitched note in it"),
        (None, "song.mid: cannot be read \\(No such file"),
    ],
)
def test_files_without_music_are_refused(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "song.mid"
    if content is not None:
        write(path, content)
    with pytest.raises(UserError, match=message):
        read_song_windows(path, 32, 0)
