"""Rolls survive MIDI: as an object, as a file, and in the reader of training data."""

import tempfile
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from midi_files import roll_of

from common.midi_library import pretty_midi
from data.pianoroll import drop_short_notes, pianoroll_to_pretty_midi
from data.smf import MidiError
from data.song import read_song

FRAME_RATES = (1, 2, 4, 8, 16, 32, 64)


@st.composite
def rolls(draw: st.DrawFn) -> np.ndarray:
    """Bool (128, T): random cells, some of them stretched into long notes; T may be 0."""
    n_frames = draw(st.integers(0, 140))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    roll = random.random((128, n_frames)) < draw(st.sampled_from([0.0, 0.002, 0.05, 0.5, 1.0]))
    for shift in range(draw(st.integers(0, 3))):
        roll[:, shift + 1 :] |= roll[:, : max(n_frames - shift - 1, 0)]
    return roll


def single(pitch: int, start: int, end: int, n_frames: int) -> np.ndarray:
    roll = np.zeros((128, n_frames), bool)
    roll[pitch, start:end] = True
    return roll


def from_song(path: Path, n_frames: int, frames_per_second: int) -> np.ndarray:
    frames = np.unpackbits(read_song(path, frames_per_second=frames_per_second).frames, axis=1).T > 0
    return np.pad(frames, ((0, 0), (0, n_frames - frames.shape[1])))


def assert_survives(roll: np.ndarray, frames_per_second: int) -> None:
    """The same roll through the object, and through a file read by pretty_midi and by `read_song`."""
    n_frames = roll.shape[1]
    midi = pianoroll_to_pretty_midi(roll, frames_per_second=frames_per_second)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "roll.mid"
        midi.write(str(path))
        read = pretty_midi.PrettyMIDI(str(path))
        if roll.any():
            song = from_song(path, n_frames, frames_per_second)
            np.testing.assert_array_equal(song, roll)
        else:
            with pytest.raises(MidiError, match="no note in it"):
                read_song(path)
    for source in (midi, read):
        np.testing.assert_array_equal(roll_of(source, n_frames, frames_per_second), roll)


@settings(max_examples=25, deadline=None)
@given(rolls(), st.sampled_from(FRAME_RATES))
def test_any_roll_survives_a_file(roll: np.ndarray, frames_per_second: int) -> None:
    assert_survives(roll, frames_per_second)


def test_edge_cases_survive_a_file() -> None:
    late = single(64, 40_000, 40_001, 40_001)  # after 42 minutes
    for roll in (np.zeros((128, 0), bool), np.zeros((128, 32), bool), np.ones((128, 8), bool), late):
        assert_survives(roll, 16)


def test_consecutive_frames_are_one_note() -> None:
    roll = single(60, 2, 6, 16) | single(60, 7, 8, 16) | single(40, 2, 16, 16)
    for same in (roll.astype(np.float32), torch.from_numpy(roll), np.asfortranarray(roll)):
        np.testing.assert_array_equal(roll_of(pianoroll_to_pretty_midi(same), 16), roll)
    (instrument,) = pianoroll_to_pretty_midi(roll).instruments
    assert (instrument.program, instrument.is_drum) == (0, False)
    notes = [(note.pitch, note.start, note.end, note.velocity) for note in instrument.notes]
    assert notes == [(40, 0.125, 1.0, 80), (60, 0.125, 0.375, 80), (60, 0.4375, 0.5, 80)]


@pytest.mark.parametrize(
    ("roll", "options", "message"),
    [
        (np.zeros((128, 4)), {"frames_per_second": 10}, "10 frames a second do not fall on ticks of 1/1024 s"),
        (np.zeros((128, 4)), {"frames_per_second": 0}, "0 frames a second"),
        (np.full((128, 4), 0.3), {}, "apply a threshold"),
        (np.zeros((4, 128)), {}, r"\(128, T\), but this is \(4, 128\)"),
        (np.zeros((1, 128, 4)), {}, r"this is \(1, 128, 4\)"),
    ],
)
def test_invalid_rolls_and_options_are_refused(roll: np.ndarray, options: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pianoroll_to_pretty_midi(roll, **options)


@settings(max_examples=25, deadline=None)
@given(rolls(), st.integers(0, 6))
def test_short_notes_are_dropped_and_no_other(roll: np.ndarray, min_frames: int) -> None:
    runs = [[list(run) for _, run in groupby(row.tolist())] for row in roll]
    expected = np.array([[x and len(run) >= min_frames for run in row for x in run] for row in runs], bool)
    before = roll.copy()
    np.testing.assert_array_equal(drop_short_notes(roll, min_frames), expected)
    np.testing.assert_array_equal(roll, before)
    batch = drop_short_notes(np.stack([roll, ~roll]), min_frames)
    np.testing.assert_array_equal(batch[0], expected)
