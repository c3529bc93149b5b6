"""Write piano rolls as MIDI and WAV files."""

from pathlib import Path

import numpy as np

from audio.synthesis import Renderer, write_wav
from common.files import written_atomically
from data.pianoroll import pianoroll_to_pretty_midi


def write_roll_files(
    folder: Path,
    rolls: dict[str, np.ndarray],
    frames_per_second: int,
    renderer: Renderer | None = None,
    wav_folder: Path | None = None,
) -> list[Path]:
    """Write each roll, bool (128, T), as NAME.mid and, with a renderer, as NAME.wav.

    WAV files go to `wav_folder`, by default `folder`; both are created. Returns the paths, all MIDI files first.
    """
    folder.mkdir(parents=True, exist_ok=True)
    midi_paths = [folder / f"{name}.mid" for name in rolls]
    for path, roll in zip(midi_paths, rolls.values(), strict=True):
        with written_atomically(path) as file:
            pianoroll_to_pretty_midi(roll, frames_per_second=frames_per_second).write(file)
    if renderer is None:
        return midi_paths
    wav_folder = wav_folder or folder
    wav_folder.mkdir(parents=True, exist_ok=True)
    wav_paths = [wav_folder / f"{name}.wav" for name in rolls]
    for path, audio in zip(wav_paths, renderer.render_rolls(rolls.values(), frames_per_second), strict=True):
        write_wav(path, audio)
    return midi_paths + wav_paths
