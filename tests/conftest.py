"""Fixtures that several test files share."""

from pathlib import Path

import pytest
from corpus import write_corpus, write_labels
from midi_files import example_song, write

from data.prepare import prepare_store

GENRES = ("chords", "melody", "bass")
SPLIT_OF_SONG = ("train", "train", "train", "train", "val", "test")


@pytest.fixture(scope="session")
def tiny_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A roll store of 18 songs of 26 s: three genres, each with 4 songs to train, 1 to validate and 1 to test.

    The same bytes of music in every run. Tests must not write into it.
    """
    folder = tmp_path_factory.mktemp("tiny")
    rows = []
    for genre_id, genre in enumerate(GENRES):
        for number, split in enumerate(SPLIT_OF_SONG):
            path = f"{genre}/song {number}.mid"
            write(folder / "midi" / path, example_song(genre_id, number))
            rows.append((path, genre_id, genre, split))
    write_labels(folder / "labels.csv", rows)
    prepare_store(folder / "midi", folder / "labels.csv", folder / "store", workers=1, progress=False)
    return folder / "store"


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A folder with `midi` and `labels.csv`: the songs of `corpus.ROWS`, 6 seconds each."""
    return write_corpus(tmp_path)
