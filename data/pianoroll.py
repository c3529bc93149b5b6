"""Convert piano rolls of 0 and 1 to MIDI without loss: reading the file back gives the same roll.

A frame is a sixteenth note, and a tick 1/1024 s: 240 quarter notes a minute of 256 ticks at 16 frames a second. Readers
that quantise to sixteenths therefore keep every frame, and those that compute seconds get exact binary fractions.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from common.midi_library import pretty_midi
from data.song import FRAMES_PER_SECOND, PITCHES

TICKS_PER_SECOND, FRAMES_PER_QUARTER = 1024, 4
MAX_FRAMES_PER_SECOND = 256  # above, a quarter has no whole number of microseconds
VELOCITY = 80  # of notes written from a roll, which has no velocities


class RollNotes(NamedTuple):
    """Runs of sounding frames, by onset and then pitch: int64 (n_notes,) each; `end` is the first silent frame."""

    pitch: np.ndarray
    start: np.ndarray
    end: np.ndarray


def roll_notes(roll: ArrayLike) -> RollNotes:
    """Return the notes of a roll (128, T): consecutive sounding frames of a pitch are one note.

    Raises ValueError for another shape or values other than 0 and 1.
    """
    binary = _binary(roll)
    if binary.ndim != 2 or len(binary) != PITCHES:
        raise ValueError(f"a piano roll has the shape ({PITCHES}, T), but this is {binary.shape}")
    changes = _changes(binary)  # (128, T + 1)
    pitch, start = np.nonzero(changes == 1)
    _, end = np.nonzero(changes == -1)
    by_onset = np.lexsort((pitch, start))
    return RollNotes(pitch[by_onset], start[by_onset], end[by_onset])


def drop_short_notes(roll: ArrayLike, min_frames: int) -> np.ndarray:
    """Silence notes shorter than `min_frames` in a roll of 0 and 1 (..., T); returns bool (..., T)."""
    changes = _changes(_binary(roll))
    flat = changes.reshape(-1)
    # Every row ends in silence, so the k-th start and the k-th end belong to one note.
    start, end = np.flatnonzero(flat == 1), np.flatnonzero(flat == -1)
    short = end - start < min_frames
    flat[start[short]] = flat[end[short]] = 0
    return np.cumsum(changes, axis=-1, dtype=np.int8)[..., :-1].astype(bool)


def pianoroll_to_pretty_midi(roll: ArrayLike, frames_per_second: int = FRAMES_PER_SECOND) -> pretty_midi.PrettyMIDI:
    """Return a roll of 0 and 1 (128, T) as a MIDI file of one piano, with the notes of `roll_notes`.

    Notes start and end at frame / `frames_per_second` seconds. MIDI does not keep T: there is no silence after the
    last note. Raises ValueError as `roll_notes` does (apply a threshold to probabilities first), and for a frame rate
    that does not divide 256.
    """
    if frames_per_second < 1 or MAX_FRAMES_PER_SECOND % frames_per_second:
        raise ValueError(
            f"{frames_per_second} frames a second do not fall on ticks of 1/{TICKS_PER_SECOND} s; "
            f"use a rate that divides {MAX_FRAMES_PER_SECOND}"
        )
    instrument = pretty_midi.Instrument(program=0)
    instrument.notes = [
        pretty_midi.Note(VELOCITY, pitch, start / frames_per_second, end / frames_per_second)
        for pitch, start, end in zip(*(field.tolist() for field in roll_notes(roll)), strict=True)
    ]
    tempo = 60 * frames_per_second / FRAMES_PER_QUARTER  # quarters per minute
    ticks_per_quarter = TICKS_PER_SECOND * FRAMES_PER_QUARTER // frames_per_second
    midi = pretty_midi.PrettyMIDI(resolution=ticks_per_quarter, initial_tempo=tempo)
    midi.instruments.append(instrument)
    return midi


def _changes(roll: np.ndarray) -> np.ndarray:
    """Return int8 (..., T + 1): 1 where a note starts, -1 where one has ended, for a bool roll (..., T)."""
    silence = np.zeros((*roll.shape[:-1], 1), np.int8)
    return np.diff(roll.view(np.int8), axis=-1, prepend=silence, append=silence)


def _binary(roll: ArrayLike) -> np.ndarray:
    """Return `roll` as a contiguous bool array. Raises ValueError for values other than 0 and 1."""
    values = np.asarray(roll)
    binary = np.ascontiguousarray(values, bool)
    if values.dtype != bool and not np.array_equal(values, binary):
        raise ValueError("a roll to write holds 0 and 1 alone; apply a threshold to probabilities first")
    return binary
