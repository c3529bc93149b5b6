"""Write the files of a roll store: arrays song by song, then the tables and store.json."""

import contextlib
import os
from dataclasses import fields
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd

from common.files import errors_naming, written_atomically
from data.song import Song
from data.store import ARRAYS, REJECTED, SONGS, STORE, SongRow

_NONE_REJECTED = pd.DataFrame(columns=["path", "reason"])


class StoreWriter:
    """Writes the arrays of a store song by song, so that memory does not grow with the corpus."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files = {name: _ArrayFile(folder / f"{name}.npy", *kind) for name, kind in ARRAYS.items()}

    def append(self, song: Song) -> tuple[int, int]:
        """Append a song; returns its frame and note offsets."""
        offsets = self._files["frames"].length, self._files["pitch"].length
        for name, file in self._files.items():
            file.append(getattr(song, name))
        return offsets

    def finish(self, songs: pd.DataFrame, info: dict[str, Any], rejected: pd.DataFrame = _NONE_REJECTED) -> None:
        """Write array headers, tables and, last, store.json, which completes the store.

        `songs` has the columns of `SongRow`, `rejected` path and reason. `info` needs `genres` and `frames_per_second`.
        """
        for file in self._files.values():
            file.close()
        _write_table(self._folder / SONGS, songs[[field.name for field in fields(SongRow)]])
        _write_table(self._folder / REJECTED, rejected)
        STORE.write_info(self._folder, {"condition": "genre", "settings": {}, **info})

    def abandon(self) -> None:
        """Close the files without completing the store."""
        for file in self._files.values():
            file.abandon()


class _ArrayFile:
    """A .npy file that grows along its first axis. numpy reserves header space for any length."""

    def __init__(self, path: Path, dtype: type[np.generic], item_shape: tuple[int, ...]) -> None:
        self._path = path
        self._file: BinaryIO = path.open("wb")
        self._dtype, self._item_shape = np.dtype(dtype), item_shape
        self.length = 0
        self._write_header()

    def append(self, array: np.ndarray) -> None:
        with errors_naming(self._path):
            self._file.write(np.ascontiguousarray(array, self._dtype).tobytes())
        self.length += len(array)

    def close(self) -> None:
        with errors_naming(self._path):
            self._file.seek(0)
            self._write_header()
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()

    def abandon(self) -> None:
        with contextlib.suppress(OSError):  # closing flushes, for which a full disk has no room
            self._file.close()

    def _write_header(self) -> None:
        header = {
            "descr": np.lib.format.dtype_to_descr(self._dtype),
            "fortran_order": False,
            "shape": (self.length, *self._item_shape),
        }
        np.lib.format.write_array_header_1_0(self._file, header)


def _write_table(path: Path, table: pd.DataFrame) -> None:
    with written_atomically(path) as file:
        table.to_csv(file, index=False, lineterminator="\n", encoding="utf-8")
