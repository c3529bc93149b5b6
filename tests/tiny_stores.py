"""Roll stores of a few short songs, the same bytes of music in every run."""

from collections.abc import Sequence
from pathlib import Path

import corpus
from midi_files import example_song, write

GENRES = ("chords", "melody", "bass")
SPLIT_OF_SONG = ("train", "train", "train", "train", "val", "test")


def make_store(
    folder: Path,
    genres: Sequence[str] = GENRES,
    splits: Sequence[Sequence[str]] = (SPLIT_OF_SONG,) * len(GENRES),
    first_song: int = 0,
    artists: Sequence[str] = ("",),
) -> Path:
    """A store of songs of 26 s in `folder`, with for each genre a song for each of its `splits`; returns its folder.

    The songs of a genre are by the `artists` in turn.
    """
    rows = []
    for genre_id, (genre, splits_of_genre) in enumerate(zip(genres, splits, strict=True)):
        for number, split in enumerate(splits_of_genre, first_song):
            path = f"{genre}/song {number}.mid"
            write(folder / "midi" / path, example_song(genre_id, number))
            rows.append((path, genre_id, genre, split, artists[number % len(artists)]))
    corpus.write_labels(folder / "labels.csv", rows, ("path", "genre_id", "genre", "split", "artist"))
    return corpus.make_store(folder)[0].folder
