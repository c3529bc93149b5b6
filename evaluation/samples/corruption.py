"""Real clips damaged in ways that anyone hears: what a distance of music has to see."""

from collections.abc import Callable

import numpy as np

from data.pianoroll import RollNotes, roll_notes
from data.song import PITCHES

PIANO_LOW, PIANO_HIGH = 21, 108
JITTER_SECONDS, MAX_SHIFT, DROPPED = 0.1, 3, 0.7


def jitter_onsets(notes: RollNotes, chance: np.random.Generator, frames_per_second: int) -> RollNotes:
    """Every note moved in time by a normal number of seconds with standard deviation 0.1, its length kept."""
    moved = np.rint(chance.normal(0, JITTER_SECONDS * frames_per_second, len(notes.start))).astype(np.int64)
    return RollNotes(notes.pitch, notes.start + moved, notes.end + moved)


def shift_pitches(notes: RollNotes, chance: np.random.Generator, frames_per_second: int) -> RollNotes:
    """Every note moved by 1 to 3 semitones up or down."""
    size, sign = chance.integers(1, MAX_SHIFT + 1, len(notes.pitch)), chance.choice((-1, 1), len(notes.pitch))
    return notes._replace(pitch=np.clip(notes.pitch + sign * size, 0, PITCHES - 1))


def randomize_pitches(notes: RollNotes, chance: np.random.Generator, frames_per_second: int) -> RollNotes:
    """Every note on any key of the piano."""
    return notes._replace(pitch=chance.integers(PIANO_LOW, PIANO_HIGH + 1, len(notes.pitch)))


def drop_notes(notes: RollNotes, chance: np.random.Generator, frames_per_second: int) -> RollNotes:
    """Without 70 % of the notes."""
    kept = chance.random(len(notes.pitch)) >= DROPPED
    return RollNotes(*(field[kept] for field in notes))


Corruption = Callable[[RollNotes, np.random.Generator, int], RollNotes]
CORRUPTIONS: dict[str, Corruption] = {
    "onsets jittered by 0.1 s": jitter_onsets,
    "notes shifted by up to 3 semitones": shift_pitches,
    "random pitches": randomize_pitches,
    "70 % of notes dropped": drop_notes,
}


def corrupt(rolls: np.ndarray, corruption: Corruption, seed: int, frames_per_second: int) -> np.ndarray:
    """Damage clips, bool (n, 128, T); what falls outside of a clip is cut off. Clip k of a seed is always the same."""
    damaged = np.zeros_like(rolls)
    for number, (roll, target) in enumerate(zip(rolls, damaged, strict=True)):
        chance = np.random.default_rng((seed, number))
        for pitch, start, end in zip(*corruption(roll_notes(roll), chance, frames_per_second), strict=True):
            target[pitch, max(start, 0) : max(end, 0)] = True
    return damaged
