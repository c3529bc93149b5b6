"""Sound and MIDI files of piano rolls: WAV and MP3."""

import io
import wave
from pathlib import Path

import numpy as np

from audio.options import SoundFileOptions
from audio.synthesis import SAMPLE_RATE, Renderer, open_renderer
from common.files import check_outputs, written_atomically
from data.pianoroll import pianoroll_to_pretty_midi

MP3_COMPRESSION = 0.4  # from 0 (largest, best) to below 1; about 5 kB per second of piano
HIGH_MP3_COMPRESSION = 0.8  # for minutes of sound


def open_file_renderer(options: SoundFileOptions) -> Renderer | None:
    """Open the options' synthesiser, or return None without --wav. Raises `UserError` as `open_renderer`."""
    return open_renderer(options.synth, options.soundfont) if options.wav else None


def write_roll_files(
    folder: Path, rolls: dict[str, np.ndarray], frames_per_second: int, renderer: Renderer | None = None,
    wav_folder: Path | None = None,
) -> list[Path]:  # fmt: skip
    """Write each roll, bool (128, T), as NAME.mid and, with a renderer, as NAME.wav.

    WAV files go to `wav_folder`, by default `folder`. Returns the paths, all MIDI files first. Raises `UserError` as
    `check_outputs` before any is written.
    """
    midi_paths = [folder / f"{name}.mid" for name in rolls]
    wav_paths = [(wav_folder or folder) / f"{name}.wav" for name in rolls if renderer]
    check_outputs(midi_paths + wav_paths)
    for path, roll in zip(midi_paths, rolls.values(), strict=True):
        with written_atomically(path) as file:
            pianoroll_to_pretty_midi(roll, frames_per_second=frames_per_second).write(file)
    if renderer:
        for path, audio in zip(wav_paths, renderer.render_rolls(rolls.values(), frames_per_second), strict=True):
            write_wav(path, audio)
    return midi_paths + wav_paths


def write_wav(path: Path, audio: np.ndarray) -> None:
    """Write samples, float (n_samples,), as a mono 16-bit WAV at SAMPLE_RATE, clipped to [-1, 1]. Atomic."""
    with written_atomically(path) as output, wave.open(output, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(np.rint(audio.clip(-1, 1) * 32767).astype("<i2").tobytes())


def encode_mp3(audio: np.ndarray, compression: float = MP3_COMPRESSION) -> bytes:
    """Encode float32 (n_samples,) in [-1, 1] at `SAMPLE_RATE` as a mono MP3 file of variable bit rate."""
    import soundfile

    file = io.BytesIO()
    settings = {"bitrate_mode": "VARIABLE", "compression_level": compression}
    soundfile.write(file, audio, SAMPLE_RATE, format="MP3", subtype="MPEG_LAYER_III", **settings)
    return file.getvalue()
