"""Reading files in several processes."""

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
    alone = list(read_songs(files, min_frames=32, workers=1))
    monkeypatch.setattr(reading, "_MINIMUM_FILES_PER_WORKER", 1)
    monkeypatch.setattr(reading, "_FILES_PER_TASK", 3)
    together = list(read_songs(files, min_frames=32, workers=2))
    assert len(alone) == len(together) == 8
    assert [alone[place] for place in (2, 5)] == [together[place] for place in (2, 5)]
    assert "not a MIDI file" in alone[2]
    assert "No such file" in alone[5]
    for one, other in zip(alone, together, strict=True):
        if isinstance(one, ReadSong):
            assert one.content_hash == other.content_hash
            for name in ARRAYS:
                np.testing.assert_array_equal(getattr(one.song, name), getattr(other.song, name))
