"""The song that `pretty_midi` reads, and short ways to write MIDI files.

At the default tempo, 480 ticks are a quarter note of 0.5 s, and 60 ticks are a frame.
"""

import warnings
from pathlib import Path

import mido
import numpy as np
from midi_files import Message, midi, off, on, write

from common.midi_library import pretty_midi
from data.song import FRAMES_PER_SECOND, Song, read_song

Runs = dict[int, list[tuple[int, int]]]  # pitch -> (first frame, frame after the last) of each time it sounds


def pretty_midi_song(path: Path, frames_per_second: int = FRAMES_PER_SECOND) -> Song:
    """Return the song that `pretty_midi` reads."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # tempo on a track other than the first
        read = pretty_midi.PrettyMIDI(str(path))
    roll = read.get_piano_roll(fs=frames_per_second) > 0
    notes = sorted((n.start, n.pitch, n.velocity, part.is_drum) for part in read.instruments for n in part.notes)
    columns = zip(*notes, strict=True) if notes else ((),) * 4
    kinds = (np.float64, np.uint8, np.uint8, np.bool_)
    return Song(np.packbits(roll.T, axis=1), *(np.array(*each) for each in zip(columns, kinds, strict=True)))


def assert_same_song(song: Song, expected: Song) -> None:
    for name in ("frames", "onset_seconds", "pitch", "velocity", "drum"):
        array, wanted = getattr(song, name), getattr(expected, name)
        assert (array.shape, array.dtype) == (wanted.shape, wanted.dtype), name
        np.testing.assert_array_equal(array, wanted, err_msg=name)


def sounding(song: Song) -> Runs:
    """Return the runs of frames in which each pitch of the roll sounds."""
    runs: Runs = {}
    for pitch, cells in enumerate(np.unpackbits(song.frames, axis=1).T):
        edges = np.flatnonzero(np.diff(cells.astype(int), prepend=0, append=0)).tolist()
        if edges:
            runs[pitch] = list(zip(edges[::2], edges[1::2], strict=True))
    return runs


def one_track(*messages: Message) -> bytes:
    return midi(list(messages))


def meta(kind: str, delta: int = 0, **fields: object) -> Message:
    return mido.MetaMessage(kind, time=delta, **fields)


def note(pitch: int = 60, ticks: int = 480) -> list[Message]:
    return [on(0, pitch), off(ticks, pitch)]


def assert_read_as_by_pretty_midi(content: bytes, folder: Path) -> None:
    path = write(folder / "case.mid", content)
    assert_same_song(read_song(path), pretty_midi_song(path))
