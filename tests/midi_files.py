"""Small MIDI files for tests, built from mido messages or from raw bytes.

The message helpers take the delta time in ticks first, so that a track reads from top to bottom.
"""

import io
import random
from pathlib import Path

import mido
import numpy as np

from common.midi_library import pretty_midi

TICKS_PER_QUARTER = 480
TICKS_PER_SECOND = 960  # at the default tempo of 120 quarter notes per minute
TICKS_PER_FRAME = 60  # at 16 frames per second
DRUMS = 9
Message = mido.Message | mido.MetaMessage


def on(delta: int, pitch: int, velocity: int = 80, channel: int = 0) -> Message:
    return mido.Message("note_on", time=delta, note=pitch, velocity=velocity, channel=channel)


def off(delta: int, pitch: int, channel: int = 0) -> Message:
    return mido.Message("note_off", time=delta, note=pitch, velocity=64, channel=channel)


def control(delta: int, number: int, value: int, channel: int = 0) -> Message:
    return mido.Message("control_change", time=delta, control=number, value=value, channel=channel)


def pedal(delta: int, value: int, channel: int = 0) -> Message:
    return control(delta, 64, value, channel)


def bend(delta: int, value: int, channel: int = 0) -> Message:
    """`value` -8192 ... 8191; 4096 is one semitone."""
    return mido.Message("pitchwheel", time=delta, pitch=value, channel=channel)


def program(delta: int, number: int, channel: int = 0) -> Message:
    return mido.Message("program_change", time=delta, program=number, channel=channel)


def tempo(delta: int, microseconds: int) -> Message:
    """`microseconds` per quarter note."""
    return mido.MetaMessage("set_tempo", time=delta, tempo=microseconds)


def midi(*tracks: list[Message], file_type: int = 1, ticks_per_quarter: int = TICKS_PER_QUARTER) -> bytes:
    """The bytes of a MIDI file with these tracks."""
    buffer = io.BytesIO()
    mido.MidiFile(type=file_type, ticks_per_beat=ticks_per_quarter, tracks=list(tracks)).save(file=buffer)
    return buffer.getvalue()


def raw_midi(*tracks: bytes, file_type: int = 1, division: int = TICKS_PER_QUARTER) -> bytes:
    """The bytes of a MIDI file with these bytes in its track chunks."""
    header = b"".join(number.to_bytes(2, "big") for number in (file_type, len(tracks), division))
    return chunk(b"MThd", header) + b"".join(chunk(b"MTrk", track) for track in tracks)


def chunk(name: bytes, content: bytes) -> bytes:
    """A chunk of a MIDI file: its name of four letters, its length, its content."""
    return name + len(content).to_bytes(4, "big") + content


def roll_of(midi: pretty_midi.PrettyMIDI, n_frames: int | None = None, frames_per_second: int = 16) -> np.ndarray:
    """`pretty_midi`'s own piano roll, bool (128, T), T being `n_frames` or else the end of the last note."""
    roll = midi.get_piano_roll(fs=frames_per_second) > 0
    n_frames = roll.shape[1] if n_frames is None else n_frames
    assert not roll[:, n_frames:].any()
    return np.pad(roll[:, :n_frames], ((0, 0), (0, max(n_frames - roll.shape[1], 0))))


def roll_with(*notes: tuple[int, int, int], frames: int = 32) -> np.ndarray:
    """A roll, bool (128, frames), with notes (pitch, first frame, frame after the last)."""
    roll = np.zeros((128, frames), bool)
    for pitch, start, end in notes:
        roll[pitch, start:end] = True
    return roll


def write(path: Path, content: bytes) -> Path:
    """Write a file, and the folders above it; returns `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def example_song(style: int, seed: int, seconds: int = 26) -> bytes:
    """A song of at least `seconds`, random but the same for the same arguments, in one of three styles.

    0: slow pedalled chords below middle C. 1: a fast melody above it. 2: bass notes, some bent, with drums. Style and
    register go together, so that a model can tell the styles apart.
    """
    chance = random.Random(f"{style}/{seed}")
    make = (_chords, _melody, _bass_and_drums)[style]
    return midi([tempo(0, 500_000)], *make(chance, seconds))


def _chords(chance: random.Random, seconds: int) -> list[list[Message]]:
    messages: list[Message] = []
    for _ in range(seconds // 2 + 1):
        root = chance.choice([40, 43, 45, 47, 48])
        chord = [root, root + chance.choice([3, 4]), root + 7]
        messages += [pedal(0, 127), *(on(0, pitch, chance.randint(50, 100)) for pitch in chord)]
        messages += [off(1000 if pitch == root else 0, pitch) for pitch in chord]
        messages += [pedal(860, 0), control(60, 7, 100)]
    return [messages]


def _melody(chance: random.Random, seconds: int) -> list[list[Message]]:
    messages: list[Message] = [program(0, 40)]
    pitch = 76
    for _ in range(4 * seconds):
        pitch = min(max(pitch + chance.choice([-4, -2, -1, 0, 1, 2, 4]), 65), 95)
        length = chance.choice([120, 180])
        messages += [on(0, pitch, chance.randint(60, 120)), off(length, pitch), control(240 - length, 1, 0)]
    return [messages]


def _bass_and_drums(chance: random.Random, seconds: int) -> list[list[Message]]:
    bass: list[Message] = [program(0, 33)]
    drums: list[Message] = []
    for _ in range(2 * seconds):
        pitch = chance.choice([28, 31, 33, 35, 36])
        bass += [bend(0, chance.choice([0, 0, 0, 2048, 4096])), on(0, pitch, 100), off(300, pitch), bend(180, 0)]
        for drum in (36, chance.choice([38, 42])):
            drums += [on(0, drum, 110, DRUMS), off(240, drum, DRUMS)]
    return [bass, drums]
