"""Reading files in several processes."""

import os
from pathlib import Path

import numpy as np
import pytest
from corpus import ARRAYS, ROWS

from data import reading
from data.reading import ReadSong, read_songs


def test_many_processes_read_the_same_as_one(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [corpus / "midi" / path for path, *_ in ROWS]
    files.insert(2, corpus / "labels.csv")
    files.insert(5, corpus / "missing.mid")
    os.mkfifo(corpus / "pipe.mid")  # nobody ever writes to it
    files.append(corpus / "pipe.mid")
    alone = list(read_songs(files, min_frames=32, workers=1))
    monkeypatch.setattr(reading, "_MINIMUM_FILES_PER_WORKER", 1)
    monkeypatch.setattr(reading, "_FILES_PER_TASK", 3)
    together = list(read_songs(files, min_frames=32, workers=2))
    assert len(alone) == len(together) == 9
    assert [alone[place] for place in (2, 5, 8)] == [together[place] for place in (2, 5, 8)]
    assert "not a MIDI file" in alone[2]
    assert "No such file" in alone[5]
    assert alone[8] == "not a regular file"
    for one, other in zip(alone, together, strict=True):
        if isinstance(one, ReadSong):
            assert one.content_hash == other.content_hash
            for name in ARRAYS:
                np.testing.assert_array_equal(getattr(one.song, name), getattr(other.song, name))


def test_an_error_of_the_reader_rejects_its_file_alone(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files, read = [corpus / "midi" / path for path, *_ in ROWS], reading.read_song

    def broken(path: Path, **options) -> object:
        if path == files[1]:
            raise IndexError("an index\nof 7")
        return read(path, **options)

    monkeypatch.setattr(reading, "read_song", broken)
    results = list(read_songs(files, min_frames=32, workers=1))
    assert [result for result in results if isinstance(result, str)] == [results[1]] == ["damaged: an index of 7"]
