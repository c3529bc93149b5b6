"""MP3 encoding in memory; every browser plays MP3."""

import io

import numpy as np
import soundfile

from audio.synthesis import SAMPLE_RATE

_COMPRESSION = 0.4  # from 0 (largest, best) to below 1; about 5 kB per second of piano


def encode_mp3(audio: np.ndarray) -> bytes:
    """Encode float32 (n_samples,) in [-1, 1] at `SAMPLE_RATE` as a mono MP3 file of variable bit rate."""
    file = io.BytesIO()
    settings = {"bitrate_mode": "VARIABLE", "compression_level": _COMPRESSION}
    soundfile.write(file, audio, SAMPLE_RATE, format="MP3", subtype="MPEG_LAYER_III", **settings)
    return file.getvalue()
