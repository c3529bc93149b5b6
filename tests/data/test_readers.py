"""Other packages read the clips that we write, with their defaults."""

from pathlib import Path

import mido
import music21
import muspy
import numpy as np
import pytest

from data.pianoroll import FRAMES_PER_QUARTER, pianoroll_to_pretty_midi, roll_notes


@pytest.fixture(scope="module")
def roll() -> np.ndarray:
    """Bool (128, 128): notes of 1 to 6 frames and longer, many of them in chords."""
    rng, cells = np.random.default_rng(0), np.zeros((128, 128), bool)
    for onset in np.flatnonzero(rng.random(127) < 0.3):
        for pitch in rng.choice(np.arange(40, 80), rng.integers(1, 4), replace=False):
            cells[pitch, max(onset - 1, 0)] = False  # a note before ends
            cells[pitch, onset : onset + rng.integers(1, 7)] = True
    return cells


@pytest.mark.parametrize("frames_per_second", [8, 16, 64])
def test_muspy_reads_every_note(roll: np.ndarray, frames_per_second: int, tmp_path: Path) -> None:
    pianoroll_to_pretty_midi(roll, frames_per_second).write(str(tmp_path / "clip.mid"))
    music = muspy.read_midi(tmp_path / "clip.mid")
    assert music.tempos[0].qpm == pytest.approx(60 * frames_per_second / FRAMES_PER_QUARTER)
    frame = music.resolution / FRAMES_PER_QUARTER
    read = sorted((note.time / frame, note.pitch, note.end / frame) for note in music.tracks[0].notes)
    pitch, start, end = roll_notes(roll)
    assert read == sorted(zip(start.tolist(), pitch.tolist(), end.tolist(), strict=True))


def test_music21_reads_every_onset_where_one_bar_holds_the_clip(roll: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "clip.mid"
    pianoroll_to_pretty_midi(roll).write(str(path))
    clip = mido.MidiFile(path)
    clip.tracks[0].insert(0, mido.MetaMessage("time_signature", numerator=32, denominator=4))
    clip.save(path)
    score = music21.converter.parse(path, forceSource=True)
    begun = [each for each in score.recurse().notes if not each.tie or each.tie.type == "start"]
    read = sorted(
        (float(each.getOffsetInHierarchy(score)) * FRAMES_PER_QUARTER, pitch.midi)
        for each in begun for pitch in each.pitches
    )  # fmt: skip
    pitch, start, _ = roll_notes(roll)
    assert read == sorted(zip(start.tolist(), pitch.tolist(), strict=True))
