"""Batches of windows against the store's frames and notes, unpacked window by window."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from corpus import content_of
from one_device import OneDevice

from common.splits import SPLITS
from data.song import Song
from data.store import RollStore, SongRow
from data.store_writer import StoreWriter
from data.windows import Batch, WindowSource
from models.notes.notes import count_notes

FRAMES_PER_SECOND = 16
SEQ_LENS = (32, 64, 128)


def write_store(folder: Path, songs: Sequence[Song], splits: Sequence[str] | None = None) -> RollStore:
    """A store of these songs, all to train by default; the genre of song k is k % 3."""
    folder.mkdir(exist_ok=True)
    writer, rows = StoreWriter(folder), []
    for number, song in enumerate(songs):
        writer.append(song)
        split = splits[number] if splits else "train"
        frame_offset = sum(len(earlier.frames) for earlier in songs[:number])
        note_offset = sum(len(earlier.pitch) for earlier in songs[:number])
        sizes = (frame_offset, len(song.frames), note_offset, len(song.pitch))
        rows.append(SongRow(f"{number}.mid", number % 3, split, "", str(number), str(number), *sizes))
    writer.finish(pd.DataFrame(rows), {"genres": ["a", "b", "c"], "frames_per_second": FRAMES_PER_SECOND})
    return RollStore.open(folder)


def random_song(n_frames: int, onset_frames: Sequence[float] = (), seed: int = 0) -> Song:
    """Random cells, and notes of random pitch and velocity at these onsets, which need not be whole frames."""
    chance = np.random.default_rng([seed, n_frames])
    onsets = np.sort(np.array(onset_frames, np.float64)) / FRAMES_PER_SECOND
    return Song(
        chance.integers(0, 256, (n_frames, 16), np.uint8),
        onsets,
        chance.integers(0, 128, len(onsets), np.uint8),
        chance.integers(1, 128, len(onsets), np.uint8),
        chance.integers(0, 2, len(onsets)).astype(bool),
    )


def everything(source: WindowSource) -> Batch:
    return source.batch(torch.arange(len(source)))


def expected_events(store: RollStore, song: int, first_frame: int, seq_len: int) -> np.ndarray:
    """Events of one window, note by note: those with an onset in one of its frames."""
    row = store.songs[song]
    first = first_frame - row.frame_offset
    events = []
    for note in range(row.note_offset, row.note_offset + row.n_notes):
        place = store.onset_seconds[note] * FRAMES_PER_SECOND
        if first <= int(place) < first + seq_len:
            events.append(((place - first) / seq_len, store.pitch[note] / 127, store.velocity[note] / 127))
    return np.array(events, np.float64).reshape(-1, 3)


def assert_windows_of_store(source: WindowSource, moved: np.ndarray | int = 0) -> None:
    """Every window of the source, against the arrays of its store, so many frames later."""
    store, seq_len = source.store, source.seq_len
    song, first_frame = store.windows(source.split, seq_len)
    first_frame = first_frame + moved
    batch = everything(source)
    cells = np.unpackbits(store.frames, axis=1)
    for window, (song_index, first) in enumerate(zip(song, first_frame, strict=True)):
        np.testing.assert_array_equal(batch.roll[window].T.numpy(), cells[first : first + seq_len])
        assert batch.genre[window] == store.songs[song_index].genre_id
        events = batch.events[batch.event_window == window]
        expected = expected_events(store, song_index, first, seq_len)
        np.testing.assert_allclose(events.numpy(), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("seq_len", SEQ_LENS)
@pytest.mark.parametrize("split", SPLITS)
def test_windows_are_the_frames_and_notes_of_the_store(tiny_store: Path, split: str, seq_len: int) -> None:
    source = WindowSource(RollStore.open(tiny_store), split, seq_len)
    batch = everything(source)
    assert (batch.roll.shape, batch.roll.dtype) == ((len(source), 128, seq_len), torch.float32)
    assert batch.roll.transpose(1, 2).is_contiguous() and batch.roll.unique().tolist() == [0.0, 1.0]
    assert len(batch.events) > 0 and batch.events.dtype == torch.float32
    assert batch.event_window.dtype == batch.genre.dtype == torch.int64 and (batch.event_window.diff() >= 0).all()
    assert_windows_of_store(source)
    assert torch.equal(source.genre_on_host, batch.genre)


@pytest.mark.parametrize("seq_len", SEQ_LENS)
def test_windows_of_random_songs(tmp_path: Path, seq_len: int) -> None:
    chance = np.random.default_rng(1)
    lengths = chance.integers(0, 400, 12)
    songs = [random_song(n, chance.uniform(0, n + 20, n // 8), seed) for seed, n in enumerate(lengths)]
    splits = [SPLITS[number % 3] for number in range(12)]
    store = write_store(tmp_path, songs, splits)
    for split in SPLITS:
        source = WindowSource(store, split, seq_len)
        of_split = [song for song, own in enumerate(splits) if own == split]
        assert source.song.tolist() == [song for song in of_split for _ in range(lengths[song] // seq_len)]
        assert_windows_of_store(source)


def test_moved_windows_stay_in_their_songs(tmp_path: Path) -> None:
    songs = [random_song(length, [0.5, 33, 40.2, 69, 95.9], length) for length in (32, 64, 75, 100)]
    source = WindowSource(write_store(tmp_path, songs), "train", 32)
    moved = source.moved(torch.tensor([5, 5, 5, 0, 31, 4, 1, 31]))
    assert_windows_of_store(moved, np.array([0, 5, 0, 0, 11, 4, 1, 4]))
    assert_windows_of_store(source)
    assert_windows_of_store(source.moved(torch.zeros(8, dtype=torch.int64)))


def test_transposition_moves_pitches_but_not_drums(tmp_path: Path) -> None:
    store = write_store(tmp_path, [random_song(64, np.arange(0.5, 64, 3))])
    source, moved = WindowSource(store, "train", 32), torch.tensor([3, -4])
    plain, transposed = (source.batch(torch.arange(2), semitones) for semitones in (None, moved))
    shift = (transposed.events[:, 1] - plain.events[:, 1]) * 127
    drum = torch.from_numpy(store.drum[:])
    assert drum.any() and not drum.all()
    assert shift.round().tolist() == torch.where(drum, 0, moved[plain.event_window]).tolist()
    assert torch.equal(transposed.roll[0, 3:], plain.roll[0, :-3])
    assert torch.equal(transposed.events[:, 0::2], plain.events[:, 0::2])


def test_windows_end_with_their_song(tmp_path: Path) -> None:
    store = write_store(tmp_path, [random_song(length) for length in (31, 32, 33, 100, 0, 64)])
    for seq_len, songs, frames in (
        (32, [1, 2, 3, 3, 3, 5, 5], [31, 63, 96, 128, 160, 196, 228]),
        (64, [3, 5], [96, 196]),
        (128, [], []),
    ):
        assert [values.tolist() for values in store.windows("train", seq_len)] == [songs, frames]


def test_any_choice_of_windows_is_a_batch(tmp_path: Path) -> None:
    songs = [random_song(100, np.arange(0.5, 100, 7), seed) for seed in range(6)]
    source = WindowSource(write_store(tmp_path, songs), "train", 32)
    whole = everything(source)
    for index in ([7], [3, 3, 3], [17, 0, 9, 0], []):
        batch = source.batch(torch.tensor(index, dtype=torch.int64))
        assert batch.roll.shape == (len(index), 128, 32)
        assert torch.equal(batch.roll, whole.roll[index])
        assert torch.equal(batch.genre, whole.genre[index])
        assert torch.equal(source.rolls(torch.tensor(index, dtype=torch.int64)), batch.roll)
        events = [whole.events[whole.event_window == window] for window in index]
        assert torch.equal(batch.events, torch.cat([torch.empty(0, 3), *events]))
        assert batch.event_window.tolist() == [row for row, own in enumerate(events) for _ in own]


@pytest.mark.parametrize("seq_len", SEQ_LENS)
def test_an_onset_at_a_border_belongs_to_the_frame_it_falls_in(tmp_path: Path, seq_len: int) -> None:
    """An onset can miss a border by the last bit of a float64, which a float32 does not have."""
    borders = np.arange(0, 4 * seq_len, seq_len, dtype=np.float64)
    onsets = np.concatenate([borders, np.nextafter(borders, -1)[1:], np.nextafter(borders, 1e9), borders[1:] - 1e-9])
    source = WindowSource(write_store(tmp_path, [random_song(4 * seq_len, onsets)]), "train", seq_len)
    assert_windows_of_store(source)
    batch = everything(source)
    assert len(batch.events) == len(onsets)
    assert batch.event_window.tolist() == sorted(np.trunc(onsets / seq_len).astype(int).tolist())
    assert batch.events[:, 0].min() >= 0 and batch.events[:, 0].max() < 1


def test_no_window_at_all(tmp_path: Path) -> None:
    store = write_store(tmp_path, [random_song(40, [3])])
    for split, seq_len in (("train", 64), ("test", 32)):
        source = WindowSource(store, split, seq_len)
        assert len(source) == 0
        assert everything(source).roll.shape == (0, 128, seq_len)
        assert torch.equal(source.pitch_rate(), torch.zeros(128))


def test_pitch_rate_of_known_frames(tmp_path: Path) -> None:
    n_windows = 600  # more than are unpacked at a time
    cells = np.zeros((32 * n_windows + 6, 128), np.uint8)
    cells[:, 5] = 1
    cells[: 8 * n_windows, 60] = 1
    cells[32 * n_windows :, 127] = 1  # in the last frames, which no window has
    song = Song(np.packbits(cells, axis=1), np.empty(0), *np.empty((2, 0), np.uint8), np.empty(0, bool))
    rate = WindowSource(write_store(tmp_path, [song]), "train", 32).pitch_rate()
    assert rate.dtype == torch.float32
    assert {pitch: rate[pitch].item() for pitch in rate.nonzero().flatten().tolist()} == {5: 1.0, 60: 0.25}


def test_batches_are_copies(tiny_store: Path) -> None:
    before = content_of(tiny_store)
    source = WindowSource(RollStore.open(tiny_store), "val", 64)
    batch, expected = everything(source), everything(source)
    for field in batch:
        field.zero_()
    assert all(map(torch.equal, everything(source), expected))
    source.store.frames[:] = 255  # a private map: this stays in memory
    assert content_of(tiny_store) == before


def test_the_host_counts_the_notes_of_rolls(tiny_store: Path) -> None:
    source = WindowSource(RollStore.open(tiny_store), "train", 32)
    moved, index = source.moved(torch.arange(len(source)) % 32), torch.tensor([3, 0, 3, 11])
    for windows in (source, moved):
        assert torch.equal(windows.most_notes(index), count_notes(windows.rolls(index)))
    assert not torch.equal(source.most_notes(index), moved.most_notes(index))


def test_a_batch_costs_one_copy_to_the_device_and_no_wait_for_it(tiny_store: Path) -> None:
    store = RollStore.open(tiny_store)
    source, expected = (WindowSource(store, "train", 32, device) for device in ("meta", "cpu"))
    index = torch.tensor([3, 0, 3, 11])
    with OneDevice() as mode:
        batch = source.batch(index)
    assert mode.copies == 1
    for field, wanted in zip(batch, expected.batch(index), strict=True):
        assert (field.device.type, field.shape, field.dtype) == ("meta", wanted.shape, wanted.dtype)
    with OneDevice() as mode:
        assert source.rolls(index).shape == (4, 128, 32)
    assert mode.copies == 1
