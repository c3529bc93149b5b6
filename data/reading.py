"""Read MIDI files in worker processes. The processes import this module, so it must not import torch."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from common.errors import reason_of
from common.processes import map_in_processes
from data.smf import MidiError
from data.song import FRAMES_PER_SECOND, Song, read_song, why_silent

_FILES_PER_TASK = 16
_MINIMUM_FILES_PER_WORKER = 64
_DIED = "the process that read it was killed, most often for want of memory"


class ReadSong(NamedTuple):
    """A song, and 16 hexadecimal digits of a hash of its piano roll, equal for copies."""

    song: Song
    content_hash: str


def read_songs(
    files: Sequence[Path],
    *,
    min_frames: int,
    max_minutes: float = 60.0,
    frames_per_second: int = FRAMES_PER_SECOND,
    workers: int | None = None,
) -> Iterator[ReadSong | str]:
    """Yield for each file its song, or the reason why it is rejected, in order.

    `workers` is the number of processes; None means one for each core. A few files are read in this process.
    """
    workers = min(workers or os.cpu_count() or 1, len(files) // _MINIMUM_FILES_PER_WORKER)
    read = partial(_read, min_frames=min_frames, max_minutes=max_minutes, frames_per_second=frames_per_second)
    return map_in_processes(read, files, workers, died=_DIED, chunk=_FILES_PER_TASK)


def _read(file: Path, *, min_frames: int, max_minutes: float, frames_per_second: int) -> ReadSong | str:
    try:
        song = read_song(file, frames_per_second=frames_per_second, max_seconds=60 * max_minutes)
    except MidiError as error:
        return str(error)
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"
    except MemoryError:
        return "damaged: it needs more memory than there is"
    except Exception as error:
        return f"damaged: {reason_of(error)}"
    if len(song.frames) < min_frames:
        return f"too short: {len(song.frames)} frames, a window has {min_frames}"
    if reason := why_silent(song):
        return reason
    # Leading and trailing silence does not distinguish copies.
    sounding = np.flatnonzero(song.frames.any(axis=1))
    content = song.frames[sounding[0] : sounding[-1] + 1]
    return ReadSong(song, hashlib.sha256(content.tobytes()).hexdigest()[:16])
