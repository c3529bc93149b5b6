"""Reading files in several processes."""

from pathlib import Path

import numpy as np
import pytest
from corpus import ARRAYS, ROWS, lasting
from midi_files import DRUMS, write

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


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (lasting(31), "too short: 31 frames, a window has 32"),
        (lasting(64, DRUMS), "no pitched note"),
        (lasting(16 * 61), "lasts 1 minutes, more than the 1 allowed"),
        (lasting(64)[:-3], "truncated"),
    ],
)
def test_a_rejected_file_has_its_reason(tmp_path: Path, content: bytes, reason: str) -> None:
    file = write(tmp_path / "song.mid", content)
    found, longer = read_songs([file, write(tmp_path / "longer.mid", lasting(32))], min_frames=32, max_minutes=1)
    assert isinstance(found, str) and reason in found
    assert isinstance(longer, ReadSong) and len(longer.song.frames) == 32
