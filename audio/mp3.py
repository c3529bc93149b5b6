"""Sound as MP3, which every browser plays, in memory."""

import io

import numpy as np
import soundfile

from audio.synthesis import SAMPLE_RATE

# From 0 (largest, best) to below 1: about 5 kB a second of piano.
_COMPRESSION = 0.4


def encode_mp3(audio: np.ndarray) -> bytes:
    """An MP3 file of float32 (n_samples,) in [-1, 1] at `SAMPLE_RATE`, mono, with a variable bit rate."""
    file = io.BytesIO()
    soundfile.write(
        file,
        audio,
        SAMPLE_RATE,
        format="MP3",
        subtype="MPEG_LAYER_III",
        bitrate_mode="VARIABLE",
        compression_level=_COMPRESSION,
    )
    return file.getvalue()
