"""Batches of windows, unpacked on the training device straight from the packed store.

A batch needs no worker process and no Python per sample: it is a gather of packed frames, a table look-up of sixteen
cells for two bytes, and a gather of notes.
"""

import copy
from collections.abc import Iterator
from typing import NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from common.device import upload
from data.song import PITCHES
from data.store import BYTES_PER_FRAME, RollStore

_ONES = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).sum(1, dtype=np.uint8)  # in each byte
TRANSPOSITIONS = range(-5, 7)  # semitones: every key once


class Batch(NamedTuple):
    """A batch of B windows of T frames, with N notes in all.

    `roll` float32 (B, 128, T) of 0 and 1, laid out frame by frame (its transpose (B, T, 128) is contiguous);
    `events` float32 (N, 3): onset from the window's start / window length, pitch / 127, velocity / 127;
    `event_window` int64 (N,): the row of the batch each note belongs to, ascending; `genre` int64 (B,).
    """

    roll: Tensor
    events: Tensor
    event_window: Tensor
    genre: Tensor


class _PackedStore:
    """Arrays of a store on a device, and the table that unpacks frames.

    On the CPU these are the store's memory maps. Another device gets one copy for all sources of the store.
    """

    _made: WeakKeyDictionary[RollStore, dict[torch.device, "_PackedStore"]] = WeakKeyDictionary()

    def __init__(self, store: RollStore, device: torch.device) -> None:
        # MPS has no float64; an error below a millisecond does not matter here.
        self.time_dtype = torch.float64 if device.type == "cpu" else torch.float32
        self.onset_seconds = torch.from_numpy(store.onset_seconds).to(self.time_dtype).to(device)
        self.frames = torch.from_numpy(store.frames).to(device)
        self.pitch = torch.from_numpy(store.pitch).to(device)
        self.velocity = torch.from_numpy(store.velocity).to(device)
        self.drum = torch.from_numpy(store.drum).to(device)
        # float32 (65536, 16): the sixteen cells of two packed bytes, read as one little-endian number.
        bytes_of_word = np.arange(1 << 16, dtype="<u2").view(np.uint8).reshape(-1, 2)
        self.cells_of_word = torch.from_numpy(np.unpackbits(bytes_of_word, axis=1).astype(np.float32)).to(device)

    @classmethod
    def on(cls, store: RollStore, device: torch.device) -> "_PackedStore":
        """Return the packed arrays of `store` on `device`, cached for the life of `store`."""
        on_devices = cls._made.setdefault(store, {})
        if device not in on_devices:
            on_devices[device] = cls(store, device)
        return on_devices[device]


class WindowSource:
    """The windows of a split at one T. Sources of one store share its arrays on their device.

    `song` int64 (n_windows,) on the host; `genre` int64 (n_windows,) on the device, `genre_on_host` on the host. A
    batch copies only its index to the device, and never waits for the device. A window takes 24 bytes on a CPU, as
    long as the numbers of frames and notes fit in 32 bits.
    """

    def __init__(self, store: RollStore, split: str, seq_len: int, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self.seq_len = seq_len
        self.split = split
        self.store = store
        self._frames_per_second = store.frames_per_second
        song, first_frame = store.windows(split, seq_len)
        self._song_on_host = torch.from_numpy(song)
        self.genre_on_host = torch.from_numpy(store.genre_of_song[song])
        self.genre = self.genre_on_host.to(self.device)
        self._packed = _PackedStore.on(store, self.device)
        self._song = upload(self._song_on_host, self.device)
        start = torch.tensor([row.frame_offset for row in store.songs], dtype=torch.int64)
        self._start_of_song = upload(start, self.device)
        self._begin_at(first_frame)

    def _begin_at(self, first_frame: np.ndarray) -> None:
        """Set the first frame of each window in the store, int64 (n_windows,)."""
        self._first_frame_on_host = _compact(first_frame, len(self.store.frames))
        first_note, n_notes = _notes_of_windows(self.store, self._song_on_host.numpy(), first_frame, self.seq_len)
        self._first_frame = upload(torch.from_numpy(self._first_frame_on_host), self.device)
        self._first_note = upload(torch.from_numpy(first_note), self.device)
        # The host computes the number of notes in a batch without waiting for the device.
        self._n_notes_on_host = torch.from_numpy(n_notes)
        self._n_notes = upload(self._n_notes_on_host, self.device)

    def __len__(self) -> int:
        return len(self._song_on_host)

    @property
    def song(self) -> Tensor:
        return self._song_on_host.long()

    def moved(self, frames: Tensor) -> "WindowSource":
        """Return the windows moved later by `frames`, int64 (n_windows,) on the host, within their songs."""
        last = np.array([song.frame_offset + song.n_frames - self.seq_len for song in self.store.songs], np.int64)
        first_frame = last[self._song_on_host.numpy()]
        np.minimum(first_frame, self._first_frame_on_host + frames.numpy(), out=first_frame)
        source = copy.copy(self)
        source._begin_at(first_frame)
        return source

    def batch(self, index: Tensor, semitones: Tensor | None = None) -> Batch:
        """Return the windows at `index`, int64 (B,) on the host, as a `Batch` on the source's device.

        They are transposed by `semitones`, int64 (B,) on the device, but for drums; notes of the roll that leave the
        keyboard are dropped.
        """
        n_notes = int(self._n_notes_on_host[index.cpu()].sum())
        index = self.to_device(index)
        roll, (events, window) = self._rolls(index), self._events(index, n_notes, semitones)
        if semitones is not None:
            roll = transposed(roll, semitones)
        return Batch(roll, events, window, self.genre[index])

    def rolls(self, index: Tensor) -> Tensor:
        """Return the piano rolls of the windows at `index`, float32 (B, 128, T)."""
        return self._rolls(self.to_device(index))

    def most_notes(self, index: Tensor) -> Tensor:
        """Return the number of notes (runs of sounding frames) in the rolls at `index`, int64 (B,), both on the host.

        Transposed rolls may have fewer.
        """
        first_frame = torch.from_numpy(self._first_frame_on_host)[index].numpy()
        sounding = self.store.frames[first_frame[:, None] + np.arange(self.seq_len)]  # (B, T, 16)
        begins = np.concatenate([sounding[:, :1], sounding[:, 1:] & ~sounding[:, :-1]], axis=1)
        return torch.from_numpy(_ONES[begins].sum((1, 2), dtype=np.int64))

    def all_rolls(self, batch_size: int = 512) -> Iterator[Tensor]:
        """Yield the piano rolls of all windows in order, float32 (B, 128, T)."""
        for index in torch.arange(len(self)).split(batch_size):
            yield self.rolls(index)

    def pitch_rate(self) -> Tensor:
        """Return the share of frames in which each pitch sounds, float32 (128,)."""
        total = torch.zeros(PITCHES, device=self.device, dtype=torch.float32)
        for rolls in self.all_rolls():
            total += rolls.mean(2).sum(0)
        return total / max(len(self), 1)

    def to_device(self, index: Tensor) -> Tensor:
        """Copy an index of windows, int64 (B,), to the source's device."""
        return upload(index, self.device)

    def _rolls(self, index: Tensor) -> Tensor:
        window_bytes = self.seq_len * BYTES_PER_FRAME
        rows = max(len(self._packed.frames) - self.seq_len + 1, 0)
        overlapping = self._packed.frames.as_strided((rows, window_bytes), (BYTES_PER_FRAME, 1))
        packed = overlapping.index_select(0, self._first_frame[index])
        # The mask makes signed 16-bit words an index of 0 ... 65535.
        words = packed.view(torch.int16).flatten().int().bitwise_and_(0xFFFF)
        cells = self._packed.cells_of_word.index_select(0, words)
        return cells.view(len(index), self.seq_len, PITCHES).transpose(1, 2)

    def _events(self, index: Tensor, n_notes: int, semitones: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return `Batch.events` and `Batch.event_window`; `n_notes` is the total over `index`."""
        count = self._n_notes[index].long()
        window = torch.repeat_interleave(count, output_size=n_notes)
        before = count.cumsum(0) - count
        note = torch.arange(n_notes, device=self.device) + (self._first_note[index] - before)[window]
        packed = self._packed
        frames = self._first_frame[index] - self._start_of_song[self._song[index]]
        start = frames.to(packed.time_dtype) / self._frames_per_second
        seconds = (packed.onset_seconds[note] - start[window]).float()
        onset = (seconds * (self._frames_per_second / self.seq_len)).clamp(0, 1 - 2**-24)
        pitch = packed.pitch[note] / 127
        if semitones is not None:
            pitch += semitones[window] * ~packed.drum[note] / 127
        return torch.stack([onset, pitch, packed.velocity[note] / 127], dim=1), window


def draw_semitones(n: int, rng: torch.Generator) -> Tensor:
    """Draw one of `TRANSPOSITIONS` for each of n windows, int64 (n,), on the device of `rng`."""
    return torch.randint(TRANSPOSITIONS.start, TRANSPOSITIONS.stop, (n,), generator=rng, device=rng.device)


def transposed(roll: Tensor, semitones: Tensor) -> Tensor:
    """Transpose rolls (B, keys, T) by `semitones`, int64 (B,); notes outside the keyboard are dropped."""
    keys = roll.shape[1]
    source = torch.arange(keys, device=roll.device) - semitones[:, None]  # (B, keys)
    on_keyboard = (source >= 0) & (source < keys)
    frames = roll.transpose(1, 2)
    moved = frames.gather(2, source.clamp(0, keys - 1)[:, None].expand(-1, roll.shape[2], -1))
    return moved.mul_(on_keyboard[:, None]).transpose(1, 2)


def _compact(places: np.ndarray, end: int) -> np.ndarray:
    """`places`, int64 below `end`, in 32 bits if they fit."""
    return places.astype(np.int32) if end <= np.iinfo(np.int32).max else places


def _notes_of_windows(
    store: RollStore, song: np.ndarray, first_frame: np.ndarray, seq_len: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the first note of each window in the store, and the number of its notes, int32; (n_windows,) each."""
    first = _compact(np.empty(len(song), np.int64), len(store.onset_seconds))
    count = np.empty(len(song), np.int32)
    starts = np.flatnonzero(np.diff(song, prepend=-1))
    for start, end in zip(starts, np.append(starts[1:], len(song))[: len(starts)], strict=True):
        row = store.songs[song[start]]
        onsets = store.onset_seconds[row.note_offset : row.note_offset + row.n_notes]
        frame = first_frame[start:end] - row.frame_offset
        before, after = (
            np.searchsorted(onsets, frames / store.frames_per_second) for frames in (frame, frame + seq_len)
        )
        first[start:end], count[start:end] = row.note_offset + before, after - before
    return first, count
