"""The roll store: every song's piano roll and notes, on disk, ready to be mapped into memory.

    frames.npy          uint8 (n_frames, 16)  bit-packed piano rolls, all songs end to end; pitch 0 is the highest bit
    onset_seconds.npy   float64 (n_notes,)    note onsets from the start of the song, drums included, sorted by song
    pitch.npy           uint8 (n_notes,)
    velocity.npy        uint8 (n_notes,)
    songs.csv           one row a song: genre, split, artist, title, source path, content hash, offsets into the above
    store.json          frame rate, genre names, settings, versions, fingerprint of the inputs
    rejected.csv        path, reason of every file that did not enter

A window length T is a view of it: song k has n_frames // T windows, one after another.
"""

import csv
import json
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from common.errors import UserError
from data.song import Song

FORMAT_VERSION = 1
BYTES_PER_FRAME = 16
# The curriculum, in frames.
WINDOW_LENGTHS = (32, 64, 128)
# Whose genres a model learns: the label file's, or the same genres given to other songs (control experiment).
GIVEN, SHUFFLED = LABELS = ("given", "shuffled")
_ARRAYS: dict[str, tuple[type[np.generic], tuple[int, ...]]] = {
    "frames": (np.uint8, (BYTES_PER_FRAME,)),
    "onset_seconds": (np.float64, ()),
    "pitch": (np.uint8, ()),
    "velocity": (np.uint8, ()),
}


@dataclass(frozen=True)
class SongRow:
    """A row of songs.csv. Offsets and counts are in frames and notes of the store's arrays."""

    path: str
    genre_id: int
    split: str
    artist: str
    title: str
    content_hash: str
    frame_offset: int
    n_frames: int
    note_offset: int
    n_notes: int


@dataclass(frozen=True, eq=False)
class RollStore:
    """An opened store. The arrays are private memory maps: read when used, never written back."""

    folder: Path
    info: dict[str, Any]
    songs: list[SongRow]
    frames: np.ndarray
    onset_seconds: np.ndarray
    pitch: np.ndarray
    velocity: np.ndarray

    @classmethod
    def open(cls, folder: Path | str) -> "RollStore":
        """Open the store in `folder`. Raises `UserError` where there is none, or one of another format."""
        folder = Path(folder)
        info = read_store_info(folder)
        if info is None:
            raise UserError(f"{folder}: no roll store there; make one with prepare_data.py")
        if info["format_version"] != FORMAT_VERSION:
            raise UserError(
                f"{folder}: store format {info['format_version']}, but this code reads {FORMAT_VERSION}; "
                "make it again with prepare_data.py"
            )
        with (folder / "songs.csv").open(newline="", encoding="utf-8") as file:
            songs = [_song_row(row) for row in csv.DictReader(file)]
        arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="c", allow_pickle=False) for name in _ARRAYS}
        return cls(folder, info, songs, **arrays)

    @property
    def genres(self) -> list[str]:
        """Genre names; the position is the genre id."""
        return self.info["genres"]

    @property
    def frames_per_second(self) -> int:
        return self.info["frames_per_second"]

    @property
    def condition(self) -> str:
        """What the genre ids are ids of: genre, composer, mood, ..."""
        return self.info.get("condition", "genre")

    @property
    def content_hash(self) -> str:
        return self.fingerprint

    def song_ids(self, split: str) -> np.ndarray:
        """An id of each song of a split, from its content: int64 (n,), sorted."""
        ids = [int(song.content_hash, 16) for song in self.songs if song.split == split]
        return np.sort(np.array(ids, np.uint64).view(np.int64))

    @property
    def fingerprint(self) -> str:
        """Identifies inputs and settings the store was made from."""
        return self.info["fingerprint"]

    @cached_property
    def genre_of_song(self) -> np.ndarray:
        """int64 (n_songs,)."""
        return np.array([song.genre_id for song in self.songs], np.int64)

    def with_labels(self, labels: str) -> "RollStore":
        """A view of this store with the genres of `labels`, one of `LABELS`, and a fingerprint of its own.

        "shuffled" permutes the genres among the songs of each split, so that a genre has as many songs as before and
        says nothing about them. The permutation depends on the store alone.
        """
        if labels == GIVEN:
            return self
        rng = np.random.default_rng(int.from_bytes(sha256(f"labels {self.fingerprint}".encode()).digest()[:8], "big"))
        songs = list(self.songs)
        for split in sorted({song.split for song in songs}):
            members = [index for index, song in enumerate(songs) if song.split == split]
            for index, genre_id in zip(members, rng.permutation(self.genre_of_song[members]).tolist(), strict=True):
                songs[index] = replace(songs[index], genre_id=genre_id)
        return replace(self, songs=songs, info={**self.info, "fingerprint": f"{self.fingerprint}-{labels}"})

    def windows(self, split: str, seq_len: int) -> tuple[np.ndarray, np.ndarray]:
        """Non-overlapping windows of `seq_len` frames in a split, song after song.

        Returns the song index and the first frame in `frames` of each window, int64 (n_windows,) both.
        """
        chosen = [index for index, song in enumerate(self.songs) if song.split == split]
        counts = np.array([self.songs[index].n_frames // seq_len for index in chosen], np.int64)
        offsets = np.array([self.songs[index].frame_offset for index in chosen], np.int64)
        song = np.repeat(np.array(chosen, np.int64), counts)
        place = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        return song, np.repeat(offsets, counts) + place * seq_len


def read_store_info(folder: Path) -> dict[str, Any] | None:
    """store.json of a finished store, or None where there is none."""
    try:
        info = json.loads((folder / "store.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return info if isinstance(info, dict) and {"format_version", "fingerprint"} <= info.keys() else None


def _song_row(row: dict[str, str]) -> SongRow:
    return SongRow(**{f.name: int(row[f.name]) if f.type in (int, "int") else row[f.name] for f in fields(SongRow)})


class StoreWriter:
    """Writes the arrays of a store song by song, so that memory does not grow with the corpus."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files = {name: _ArrayFile(folder / f"{name}.npy", *kind) for name, kind in _ARRAYS.items()}

    def append(self, song: Song) -> tuple[int, int]:
        """Append a song's frames and notes; returns its frame and note offsets."""
        offsets = self._files["frames"].length, self._files["pitch"].length
        for name, file in self._files.items():
            file.append(getattr(song, name))
        return offsets

    def finish(self, songs: list[SongRow], info: dict[str, Any]) -> None:
        """Write the headers and the song table; store.json comes last and marks the store as complete."""
        for file in self._files.values():
            file.close()
        write_csv(self._folder / "songs.csv", [f.name for f in fields(SongRow)], [asdict(song) for song in songs])
        text = json.dumps({"format_version": FORMAT_VERSION, **info}, indent=2, ensure_ascii=False)
        (self._folder / "store.json").write_text(text + "\n", encoding="utf-8")


class _ArrayFile:
    """A .npy file that grows along its first axis; numpy leaves room in the header for any length."""

    def __init__(self, path: Path, dtype: type[np.generic], item_shape: tuple[int, ...]) -> None:
        self._file: BinaryIO = path.open("wb")
        self._dtype, self._item_shape = np.dtype(dtype), item_shape
        self.length = 0
        self._write_header()

    def append(self, array: np.ndarray) -> None:
        self._file.write(np.ascontiguousarray(array, self._dtype).tobytes())
        self.length += len(array)

    def close(self) -> None:
        self._file.seek(0)
        self._write_header()
        self._file.close()

    def _write_header(self) -> None:
        header = {
            "descr": np.lib.format.dtype_to_descr(self._dtype),
            "fortran_order": False,
            "shape": (self.length, *self._item_shape),
        }
        np.lib.format.write_array_header_1_0(self._file, header)


def write_csv(path: Path, columns: list[str], rows: list[dict[str, Any]]) -> None:
    """Write a table with a header line, UTF-8."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
