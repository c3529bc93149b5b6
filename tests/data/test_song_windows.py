"""Windows of a single file equal those from a store."""

from pathlib import Path

import numpy as np
import pytest
import torch
from midi_files import midi, off, on, write

from common.errors import UserError
from data.song_windows import read_song_windows
from data.store import RollStore
from data.windows import WindowSource


@pytest.mark.parametrize("seq_len", [32, 128])
def test_same_windows_as_from_a_store_then_silence(tiny_store: Path, seq_len: int) -> None:
    store = RollStore.open(tiny_store)
    source = WindowSource(store, "test", seq_len)
    for number in source.song.unique().tolist():
        row = store.songs[number]
        expected = source.batch((source.song == number).nonzero()[:, 0])
        batch, n_frames = read_song_windows(tiny_store.parent / "midi" / row.path, seq_len, row.genre_id)
        n, n_events = len(expected.roll), len(expected.events)
        assert n == n_frames // seq_len and n_frames == row.n_frames
        sizes = (n, n_events, n_events, n)
        for field, ours, theirs, size in zip(batch._fields, batch, expected, sizes, strict=True):
            assert ours.dtype == theirs.dtype and torch.equal(ours[:size], theirs), field
        if n_frames % seq_len:
            assert len(batch.roll) == n + 1 and batch.genre[n] == row.genre_id
            cells = torch.from_numpy(np.unpackbits(store.frames[row.frame_offset + n * seq_len :], axis=1)).T
            rest = n_frames % seq_len
            assert torch.equal(batch.roll[n, :, :rest], cells[:, :rest].float()) and not batch.roll[n, :, rest:].any()
        assert len(batch.events) == row.n_notes and ((batch.events[:, 0] >= 0) & (batch.events[:, 0] < 1)).all()


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
        (midi([on(10, 60), off(40, 60)]), "song.mid: its pitched notes are shorter than a frame"),
        (None, "song.mid: cannot be read \\(No such file"),
    ],
)
def test_files_without_music_are_refused(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "song.mid"
    if content is not None:
        write(path, content)
    with pytest.raises(UserError, match=message):
        read_song_windows(path, 32, 0)
