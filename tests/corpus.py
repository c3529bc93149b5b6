"""A small folder of MIDI files with labels, and helpers that read the content of stores."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from midi_files import TICKS_PER_FRAME, example_song, midi, off, on, write

from common.splits import SPLITS
from data.prepare import prepare_store
from data.shards import prepare_shard
from data.store import RollStore, SongRow
from data.store_inputs import StoreInputs, read_inputs
from data.store_writer import StoreWriter

ARRAYS = ("frames", "onset_seconds", "pitch", "velocity", "drum")
ROWS = [
    (f"{genre}/song {number}.mid", genre_id, genre, split)
    for genre_id, genre in enumerate(("slow", "fast"))
    for number, split in enumerate(SPLITS)
]


def write_corpus(folder: Path) -> Path:
    """`folder` with `midi` and `labels.csv`: the songs of `ROWS`, 6 seconds each."""
    for number, (path, genre_id, *_) in enumerate(ROWS):
        write(folder / "midi" / path, example_song(genre_id, number, seconds=6))
    write_labels(folder / "labels.csv", ROWS)
    return folder


def write_labels(path: Path, rows: Iterable[Sequence], columns: Sequence[str] = ("path", "genre_id", "genre", "split")):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([columns, *rows])
    return path


def inputs_of(corpus: Path, **options) -> StoreInputs:
    return read_inputs(corpus / "midi", corpus / "labels.csv", **options)


def make_store(
    corpus: Path, *, name: str = "store", rebuild: bool = False, merge: int | None = None, **options
) -> tuple[RollStore, bool]:
    """Make the store `corpus/name`; `options` are those of `read_inputs`."""
    inputs = inputs_of(corpus, **options)
    return prepare_store(inputs, corpus / name, merge=merge, workers=1, rebuild=rebuild, progress=False)


def make_shard(corpus: Path, number: int, count: int, *, rebuild: bool = False, **options) -> tuple[Path, list, bool]:
    inputs = inputs_of(corpus, **options)
    return prepare_shard(inputs, corpus / "store", number, count, workers=1, rebuild=rebuild, progress=False)


def change_a_file(corpus: Path) -> dict:
    write(corpus / "midi" / ROWS[1][0], example_song(1, 99, seconds=7))
    return {}


def content_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def names_in(folder: Path) -> list[str]:
    """Names in a folder, without lock files."""
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock"))


def rejected_of(store: RollStore) -> dict[str, str]:
    with (store.folder / "rejected.csv").open(newline="", encoding="utf-8") as file:
        return {row["path"]: row["reason"] for row in csv.DictReader(file)}


def song_arrays(store: RollStore) -> dict[str, tuple[np.ndarray, ...]]:
    return {
        row.path: (
            store.frames[row.frame_offset : row.frame_offset + row.n_frames],
            *(getattr(store, name)[row.note_offset : row.note_offset + row.n_notes] for name in ARRAYS[1:]),
        )
        for row in store.songs
    }


def rewrite_store(store: RollStore, folder: Path, *, songs: Sequence[SongRow] | None = None, **info) -> RollStore:
    """Write a store of the same arrays with other songs, or other facts such as `genres`."""
    folder.mkdir(parents=True)
    writer = StoreWriter(folder)
    writer.append(store)  # its arrays have the names of a song's
    writer.finish(pd.DataFrame(store.songs if songs is None else songs), {**store.info, **info})
    return RollStore.open(folder)


def lasting(frames: int, channel: int = 0) -> bytes:
    """A song of one note."""
    return midi([on(0, 60, 80, channel), off(frames * TICKS_PER_FRAME, 60, channel)])
