"""Windows of a MIDI file that is in no store, as batches for the encoder."""

from pathlib import Path

import numpy as np
import torch

from common.errors import UserError
from data.smf import MidiError
from data.song import FRAMES_PER_SECOND, Song, read_song, why_silent
from data.store import RollStore, SongRow
from data.windows import Batch, WindowSource


def read_song_windows(
    path: Path, seq_len: int, genre_id: int, *, frames_per_second: int = FRAMES_PER_SECOND
) -> tuple[Batch, int]:
    """Return all windows of a MIDI file, with the same values as from a store, and the number of frames of the file.

    The windows are on the CPU, in order; the last one is padded with silence. Raises `UserError` where the file cannot
    be read or has no pitched note.
    """
    song = _read(path, frames_per_second)
    frames = np.pad(song.frames, ((0, -len(song.frames) % seq_len), (0, 0)))
    # A store of this song in memory, so that only `WindowSource` cuts windows and scales their notes.
    row = SongRow("", genre_id, "all", "", "", "", 0, len(frames), 0, len(song.pitch))
    info = {"frames_per_second": frames_per_second}
    store = RollStore(Path(), info, [row], frames, song.onset_seconds, song.pitch, song.velocity, song.drum)
    windows = WindowSource(store, "all", seq_len)
    return windows.batch(torch.arange(len(windows))), len(song.frames)


def read_song_roll(path: Path, frames_per_second: int = FRAMES_PER_SECOND) -> np.ndarray:
    """Return the piano roll of a MIDI file, bool (128, n_frames). Raises `UserError` as `read_song_windows` does."""
    return np.unpackbits(_read(path, frames_per_second).frames, axis=1).T.astype(bool)


def _read(path: Path, frames_per_second: int) -> Song:
    try:
        song = read_song(path, frames_per_second=frames_per_second)
    except MidiError as error:
        raise UserError(f"{path}: {error}") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from error
    if reason := why_silent(song):
        raise UserError(f"{path}: {reason}")
    return song


def whole_seconds(roll: np.ndarray) -> np.ndarray:
    """A roll (128, n_frames), with silence up to a whole second."""
    return np.pad(roll, ((0, 0), (0, -roll.shape[1] % FRAMES_PER_SECOND)))
