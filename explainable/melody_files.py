"""Rows of tokens as files to open, to hear and to see: MIDI, WAV, and rolls for a sheet of pictures."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pretty_midi

from audio.synthesis import Renderer, write_wav
from common.files import written_atomically
from data.pianoroll import QUARTERS_PER_MINUTE, VELOCITY
from data.song import PITCHES
from explainable.melodies.tunes import Note
from explainable.tokens import BEATS, TokenForm, decode

# Both hold every tick of both forms exactly.
_TICKS_PER_QUARTER, FRAMES_PER_QUARTER = 480, 12
FRAMES_PER_SECOND = round(FRAMES_PER_QUARTER * QUARTERS_PER_MINUTE / 60)
MEASURE_FRAMES = BEATS * FRAMES_PER_QUARTER
SHORT_NAMES = ("complexity", "range", "density", "jump")  # of `ATTRIBUTES`


def notes_of(tokens: np.ndarray, form: TokenForm, shift: int = 0) -> list[Note]:
    """Notes of rows that follow one another, moved by `shift` semitones."""
    return [note._replace(pitch=note.pitch + shift) for note in decode(tokens, form)]


def midi_of(notes: Sequence[Note]) -> pretty_midi.PrettyMIDI:
    """Notes as one instrument, the piano, in 4/4 at 120 quarters a minute."""
    midi = pretty_midi.PrettyMIDI(resolution=_TICKS_PER_QUARTER, initial_tempo=QUARTERS_PER_MINUTE)
    instrument = pretty_midi.Instrument(program=0)
    seconds = 60 / QUARTERS_PER_MINUTE
    instrument.notes = [
        pretty_midi.Note(VELOCITY, note.pitch, float(note.onset) * seconds, float(note.end) * seconds) for note in notes
    ]
    midi.instruments.append(instrument)
    midi.time_signature_changes.append(pretty_midi.TimeSignature(BEATS, 4, 0))
    return midi


def frames_of(notes: Sequence[Note]) -> list[tuple[int, int, int]]:
    """First frame, frames and pitch of each note."""
    return [
        (int(note.onset * FRAMES_PER_QUARTER), int((note.end - note.onset) * FRAMES_PER_QUARTER), note.pitch)
        for note in notes
    ]


def roll_of(notes: Sequence[Note], measures: int) -> np.ndarray:
    """A roll, bool (128, frames), to look at: a note ends a frame early, so that repeated ones are seen apart."""
    roll = np.zeros((PITCHES, measures * MEASURE_FRAMES), bool)
    for start, length, pitch in frames_of(notes):
        roll[pitch, start : start + max(length - 1, 1)] = True
    return roll


def write_melodies(folder: Path, melodies: Mapping[str, Sequence[Note]], renderer: Renderer | None) -> list[Path]:
    """Write each melody as a MIDI file of its name and, with a renderer, as a WAV file; returns the paths."""
    paths = []
    for name, notes in melodies.items():
        midi = midi_of(notes)
        paths.append(folder / f"{name}.mid")
        with written_atomically(paths[-1]) as file:
            midi.write(file)
        if renderer is not None:
            paths.append(folder / f"{name}.wav")
            write_wav(paths[-1], renderer.render_midi(midi))
    return paths


def told(values: np.ndarray) -> str:
    """Attributes (4,) in two lines of a narrow title."""
    words = [f"{name} {value:.2f}" for name, value in zip(SHORT_NAMES, values, strict=True)]
    return f"{', '.join(words[:2])}\n{', '.join(words[2:])}"
