"""Write the files of a roll store: arrays song by song, then the tables and store.json."""

import contextlib
import os
import shutil
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from common.files import written_atomically
from data.song import Song
from data.store import ARRAYS, REJECTED, SONGS, STORE, SongRow

_NONE_REJECTED = pd.DataFrame(columns=["path", "reason"])


class StoreWriter:
    """Writes the arrays of a store song by song, so that memory does not grow with the corpus.

    The .npy files grow along their first axis: numpy reserves header space for any length.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files = {name: (folder / f"{name}.npy").open("wb") for name in ARRAYS}
        self._lengths = dict.fromkeys(ARRAYS, 0)
        self._write_headers()

    def append(self, song: Song) -> None:
        """Append a song."""
        for name, (dtype, _) in ARRAYS.items():
            array = np.ascontiguousarray(getattr(song, name), dtype)
            self._files[name].write(array.tobytes())
            self._lengths[name] += len(array)

    def append_arrays(self, folder: Path) -> None:
        """Append the arrays that another writer has written to `folder`, in pieces."""
        for name, target in self._files.items():
            with (folder / f"{name}.npy").open("rb") as source:
                np.lib.format.read_magic(source)
                (length, *_), _, _ = np.lib.format.read_array_header_1_0(source)
                shutil.copyfileobj(source, target)
            self._lengths[name] += length

    def finish_arrays(self) -> None:
        """Write the headers of the arrays and close their files."""
        self._write_headers()
        for file in self._files.values():
            file.flush()
            os.fsync(file.fileno())
            file.close()

    def finish(self, songs: pd.DataFrame, info: dict[str, Any], rejected: pd.DataFrame = _NONE_REJECTED) -> None:
        """Finish the arrays, then write tables and, last, store.json, which completes the store.

        `songs` has the columns of `SongRow`, `rejected` path and reason. `info` needs `genres` and `frames_per_second`.
        """
        self.finish_arrays()
        for name, table in ((SONGS, songs[[field.name for field in fields(SongRow)]]), (REJECTED, rejected)):
            with written_atomically(self._folder / name, replace=True) as file:
                table.to_csv(file, index=False, lineterminator="\n", encoding="utf-8")
        STORE.write_info(self._folder, {"condition": "genre", "settings": {}, **info})

    def abandon(self) -> None:
        """Close the files without completing the store."""
        for file in self._files.values():
            with contextlib.suppress(OSError):  # closing flushes, for which a full disk has no room
                file.close()

    def _write_headers(self) -> None:
        for name, (dtype, item_shape) in ARRAYS.items():
            descr, shape = np.lib.format.dtype_to_descr(np.dtype(dtype)), (self._lengths[name], *item_shape)
            self._files[name].seek(0)
            np.lib.format.write_array_header_1_0(
                self._files[name], {"descr": descr, "fortran_order": False, "shape": shape}
            )
