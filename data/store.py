"""The roll store: piano rolls and notes of all songs in files that can be mapped into memory.

    frames.npy          uint8 (n_frames, 16)  bit-packed piano rolls, all songs end to end; pitch 0 is the highest bit
    onset_seconds.npy   float64 (n_notes,)    note onsets from the start of the song, drums included, sorted by song
    pitch.npy           uint8 (n_notes,)
    velocity.npy        uint8 (n_notes,)
    drum.npy            bool (n_notes,)       whether a note is one of a drum: its pitch names an instrument
    songs.csv           one row a song: genre, split, artist, title, path, content hash, offsets into the above
    rejected.csv        path and reason of every file that is left out
    store.json          frame rate, genre names, settings, hashes of files, content and inputs

A window length T is a view of it: song k has n_frames // T windows, one after another.
"""

from dataclasses import dataclass, fields, replace
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from common.data_folder import DataFolder

BYTES_PER_FRAME = 16
ARRAYS: dict[str, tuple[type[np.generic], tuple[int, ...]]] = {
    "frames": (np.uint8, (BYTES_PER_FRAME,)),
    "onset_seconds": (np.float64, ()),
    "pitch": (np.uint8, ()),
    "velocity": (np.uint8, ()),
    "drum": (np.bool_, ()),
}
SONGS, REJECTED = "songs.csv", "rejected.csv"
STORE = DataFolder(
    name="roll store",
    program="prepare_data.py",
    # 2: hashes of every file and of the content, name of the condition. 3: sources of labels. 4: drums.
    format_version=4,
    info_file="store.json",
    files=(*(f"{name}.npy" for name in ARRAYS), SONGS, REJECTED),
    log=REJECTED,
    hashed_facts=("condition", "genres", "frames_per_second", "settings"),
    sampled=True,
)


@dataclass(frozen=True)
class SongRow:
    """A row of songs.csv. Offsets and counts are in frames and notes of the store's arrays.

    `label_source` ("" if unknown) and `confidence` (0 to 1, None if unknown) come from the label CSV.
    """

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
    label_source: str = ""
    confidence: float | None = None


@dataclass(frozen=True, eq=False)
class RollStore:
    """An opened store. The arrays are private memory maps: read on use, never written back."""

    folder: Path
    info: dict[str, Any]
    songs: list[SongRow]
    frames: np.ndarray
    onset_seconds: np.ndarray
    pitch: np.ndarray
    velocity: np.ndarray
    drum: np.ndarray

    @classmethod
    def open(cls, folder: Path | str) -> "RollStore":
        """Open a store after a check of file sizes, samples of all files, and the whole song table.

        Raises `UserError` where there is no store, one of another format, or a damaged one.
        """
        import pandas as pd  # generate.py, which opens no store, starts without it

        folder = Path(folder)
        info = STORE.read_info(folder)
        STORE.verify(folder, info, [SONGS])
        with STORE.damage_named(folder):
            arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="c", allow_pickle=False) for name in ARRAYS}
            kinds = {field.name: np.int64 if field.type in (int, "int") else str for field in fields(SongRow)}
            table = pd.read_csv(folder / SONGS, dtype=kinds, keep_default_na=False).astype(object)
            table["confidence"] = [float(text) if text else None for text in table["confidence"]]
            return cls(folder, info, [SongRow(*row) for row in table.itertuples(index=False, name=None)], **arrays)

    def verify(self) -> None:
        """Read all files as a whole. Raises `UserError` where one differs from its hash."""
        STORE.verify(self.folder, self.info)

    @property
    def genres(self) -> list[str]:
        """Genre names, or names of another condition; the position is the genre id."""
        return self.info["genres"]

    @property
    def condition(self) -> str:
        """The kind of `genres`: "genre", or the label CSV's column chosen instead."""
        return self.info["condition"]

    @property
    def frames_per_second(self) -> int:
        return self.info["frames_per_second"]

    @property
    def content_hash(self) -> str:
        """Hash of arrays, songs, genres and settings: equal for equal data on any machine, at any time."""
        return self.info["content_hash"]

    def label_facts(self) -> dict[str, Any]:
        """Return sources of the labels and their agreement with a second source; "" and NaN if unknown.

        They come from the record that label_data.py writes beside its CSV.
        """
        record = self.info.get("labels") or {}
        second = record.get("second_opinion") or {}
        kappa = second.get("kappa")
        return {
            "label_sources": ", ".join(f"{name} {count}" for name, count in record.get("files_of_source", {}).items()),
            "label_agreement": second.get("agreement", float("nan")),
            "label_kappa": float("nan") if kappa is None else kappa,
        }

    @cached_property
    def genre_of_song(self) -> np.ndarray:
        """int64 (n_songs,)."""
        return np.array([song.genre_id for song in self.songs], np.int64)

    def song_ids(self, split: str) -> np.ndarray:
        """Return numbers that identify the music of a split, int64 (n_songs,), ascending.

        They are hashes of the songs, so order and names of songs do not matter.
        """
        hashes = [int(song.content_hash, 16) for song in self.songs if song.split == split]
        return np.sort(np.array(hashes, np.uint64).view(np.int64))

    def with_shuffled_labels(self) -> "RollStore":
        """Return a view of this store with the genres permuted among the songs of each split (control experiment).

        A genre keeps its number of songs and says nothing about them. The permutation depends on the content hash
        only. The view has another content hash.
        """
        seed = sha256(f"labels {self.content_hash}".encode()).digest()[:8]
        rng = np.random.default_rng(int.from_bytes(seed, "big"))
        songs = list(self.songs)
        for split in sorted({song.split for song in songs}):
            members = [index for index, song in enumerate(songs) if song.split == split]
            for index, genre_id in zip(members, rng.permutation(self.genre_of_song[members]).tolist(), strict=True):
                songs[index] = replace(songs[index], genre_id=genre_id)
        return replace(self, songs=songs, info={**self.info, "content_hash": f"{self.content_hash}-shuffled"})

    def windows(self, split: str, seq_len: int) -> tuple[np.ndarray, np.ndarray]:
        """Non-overlapping windows of `seq_len` frames in a split, song after song.

        Returns the song index, int32, and the first frame in `frames`, int64, of each window, (n_windows,) both.
        """
        chosen = [index for index, song in enumerate(self.songs) if song.split == split]
        counts = np.array([self.songs[index].n_frames // seq_len for index in chosen], np.int64)
        offsets = np.array([self.songs[index].frame_offset for index in chosen], np.int64)
        before = np.cumsum(counts) - counts  # windows of the songs before
        first_frame = seq_len * np.arange(counts.sum())
        first_frame += np.repeat(offsets - seq_len * before, counts)
        return np.repeat(np.array(chosen, np.int32), counts), first_frame
