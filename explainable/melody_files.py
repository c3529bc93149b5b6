"""Melodies as MIDI and WAV files, as frames for the page, and as piano rolls for pictures."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from audio.files import write_wav
from audio.synthesis import Renderer
from common.files import written_atomically
from common.midi_library import pretty_midi
from data.pianoroll import VELOCITY
from data.song import PITCHES
from explainable.melodies.tunes import Note
from explainable.tokens import BEATS

# Both are multiples of every tick of both token forms.
_TICKS_PER_QUARTER, FRAMES_PER_QUARTER = 480, 12
QUARTERS_PER_MINUTE = 120.0
FRAMES_PER_SECOND = round(FRAMES_PER_QUARTER * QUARTERS_PER_MINUTE / 60)
MEASURE_FRAMES = BEATS * FRAMES_PER_QUARTER


def melody_midi(notes: Sequence[Note]) -> pretty_midi.PrettyMIDI:
    """A MIDI file of one piano in 4/4 at 120 quarters a minute."""
    midi = pretty_midi.PrettyMIDI(resolution=_TICKS_PER_QUARTER, initial_tempo=QUARTERS_PER_MINUTE)
    instrument = pretty_midi.Instrument(program=0)
    seconds = 60 / QUARTERS_PER_MINUTE
    instrument.notes = [
        pretty_midi.Note(VELOCITY, note.pitch, float(note.onset) * seconds, float(note.end) * seconds) for note in notes
    ]
    midi.instruments.append(instrument)
    midi.time_signature_changes.append(pretty_midi.TimeSignature(BEATS, 4, 0))
    return midi


def note_frames(notes: Sequence[Note]) -> list[tuple[int, int, int]]:
    """First frame, number of frames and pitch of each note."""
    return [
        (int(note.onset * FRAMES_PER_QUARTER), int((note.end - note.onset) * FRAMES_PER_QUARTER), note.pitch)
        for note in notes
    ]


def melody_roll(notes: Sequence[Note], measures: int) -> np.ndarray:
    """A piano roll for a picture, bool (128, frames). Each note ends a frame early, to separate repeated notes."""
    roll = np.zeros((PITCHES, measures * MEASURE_FRAMES), bool)
    for start, length, pitch in note_frames(notes):
        roll[pitch, start : start + max(length - 1, 1)] = True
    return roll


def write_melodies(folder: Path, melodies: Mapping[str, Sequence[Note]], renderer: Renderer | None) -> list[Path]:
    """Write each melody as NAME.mid and, with a renderer, as NAME.wav; returns the paths."""
    paths = []
    for name, notes in melodies.items():
        paths.append(folder / f"{name}.mid")
        with written_atomically(paths[-1]) as file:
            melody_midi(notes).write(file)
        if renderer is not None:
            audio = renderer.render_midi(paths[-1])
            paths.append(folder / f"{name}.wav")
            write_wav(paths[-1], audio)
    return paths


def attribute_title(values: np.ndarray) -> str:
    """Attributes (4,) as a title of two short lines."""
    complexity, note_range, density, jump = values
    return f"complexity {complexity:.2f}, range {note_range:.2f}\ndensity {density:.2f}, jump {jump:.2f}"
