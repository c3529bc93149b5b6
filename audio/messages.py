"""Timed MIDI messages for a synthesiser, from a piano roll or a MIDI file."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from common.errors import UserError
from data.pianoroll import VELOCITY, roll_notes
from data.smf import NOTE_OFF, NOTE_ON, MidiError, read_midi_events
from data.song import tick_seconds

MAX_MINUTES = 60.0


class Messages(NamedTuple):
    """Messages in order of time, arrays (n,): `seconds` float64, the others integers.

    `kind` is a message kind of `data.smf`. The velocity of a note-on is above 0.
    """

    seconds: np.ndarray
    kind: np.ndarray
    channel: np.ndarray
    data1: np.ndarray
    data2: np.ndarray


def roll_messages(roll: np.ndarray, frames_per_second: int) -> Messages:
    """Messages of a roll, bool (128, T), on channel 0, with the notes of `data.pianoroll.pianoroll_to_pretty_midi`."""
    pitch, start, end = roll_notes(roll)
    n_notes = len(pitch)
    frame, key = np.concatenate([start, end]), np.concatenate([pitch, pitch])
    kind, velocity = np.repeat([[NOTE_ON, NOTE_OFF], [VELOCITY, 0]], n_notes, axis=1)
    order = np.lexsort((key, frame))  # within a frame by pitch, as `pretty_midi` writes them
    return Messages(frame[order] / frames_per_second, kind[order], np.zeros_like(key), key[order], velocity[order])


def midi_messages(midi: Path) -> Messages:
    """All messages of all tracks of a MIDI file, with the note times of `data.song`.

    Raises `UserError` if the file is unreadable, damaged, longer than an hour or larger than `data.smf.MAX_BYTES`.
    """
    try:
        events = read_midi_events(midi)
        seconds = tick_seconds(events)
        if seconds.max(initial=0.0) > 60 * MAX_MINUTES:
            raise MidiError(f"lasts {seconds.max() / 60:.0f} minutes, more than the {MAX_MINUTES:g} allowed")
    except MidiError as error:
        raise UserError(f"{midi}: {error}") from error
    except OSError as error:
        raise UserError(f"{midi}: cannot be read ({error.strerror or error})") from error
    kind = np.where((events.kind == NOTE_ON) & (events.data2 == 0), NOTE_OFF, events.kind)
    order = np.argsort(events.tick, kind="stable")
    return Messages(*(field[order] for field in (seconds, kind, events.channel, events.data1, events.data2)))
