"""Making a store: its arrays song by song, and its place, which an interrupted run never leaves half made."""

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd

from common.errors import UserError
from common.files import errors_naming, write_text, written_atomically
from data.song import Song
from data.store import (
    ARRAYS,
    DATA_FILES,
    FORMAT_VERSION,
    INFO,
    REJECTED,
    SONGS,
    RollStore,
    SongRow,
    content_hash,
    describe_file,
    is_store_info,
)

_UNFINISHED = ".unfinished-"


class StoreWriter:
    """Writes the arrays of a store song by song, so that memory does not grow with the corpus."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files = {name: _ArrayFile(folder / f"{name}.npy", *kind) for name, kind in ARRAYS.items()}

    def append(self, song: Song) -> tuple[int, int]:
        """Append a song's frames and notes; returns its frame and note offsets."""
        offsets = self._files["frames"].length, self._files["pitch"].length
        for name, file in self._files.items():
            file.append(getattr(song, name))
        return offsets

    def finish(self, songs: Sequence[SongRow], info: dict[str, Any], rejected: pd.DataFrame | None = None) -> None:
        """Write the headers and the tables; store.json comes last and marks the store as complete.

        `info` needs genres and frames_per_second; a condition, settings and whatever else is to be kept are optional.
        `rejected` has the columns path and reason.
        """
        for file in self._files.values():
            file.close()
        write_table(self._folder / SONGS, pd.DataFrame(map(asdict, songs), columns=[f.name for f in fields(SongRow)]))
        write_table(self._folder / REJECTED, pd.DataFrame(columns=["path", "reason"]) if rejected is None else rejected)
        info = {"format_version": FORMAT_VERSION, "condition": "genre", "settings": {}, **info}
        info["files"] = {name: describe_file(self._folder / name) for name in DATA_FILES}
        info["content_hash"] = content_hash(info)
        write_text(self._folder / INFO, json.dumps(info, indent=2, ensure_ascii=False) + "\n")

    def abandon(self) -> None:
        """Close the files, whatever has become of them."""
        for file in self._files.values():
            file.abandon()


class _ArrayFile:
    """A .npy file that grows along its first axis; numpy leaves room in the header for any length."""

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
        with contextlib.suppress(OSError):  # closing writes what is left, for which there may be no room
            self._file.close()

    def _write_header(self) -> None:
        header = {
            "descr": np.lib.format.dtype_to_descr(self._dtype),
            "fortran_order": False,
            "shape": (self.length, *self._item_shape),
        }
        np.lib.format.write_array_header_1_0(self._file, header)


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table with a header line, UTF-8."""
    with written_atomically(path) as file:
        table.to_csv(file, index=False, lineterminator="\n", encoding="utf-8")


def require_place_for_store(folder: Path) -> None:
    """Raise `UserError` where `folder` is a file, or holds something else than a store, whole or damaged."""
    if any(parent.is_file() for parent in (folder, *folder.parents)):
        raise UserError(f"{folder}: a file is in the way; name another folder")
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if not {name for name in names if not name.startswith(_UNFINISHED)}:
        return
    with contextlib.suppress(OSError, ValueError):
        if is_store_info(json.loads((folder / INFO).read_text(encoding="utf-8"))):
            return
    foreign = {name for name in names if name not in (*DATA_FILES, INFO) and not name.startswith(_UNFINISHED)}
    if foreign or not names & {f"{name}.npy" for name in ARRAYS}:
        raise UserError(f"{folder}: not empty and not a roll store; name another folder, or remove it")


@contextlib.contextmanager
def store_in_making(folder: Path) -> Iterator[Path]:
    """A private folder to write a store into; when the block ends well, its files become those of `folder`.

    The private folder is inside `folder`, on the same file system. Other files in `folder` stay as they are, and so
    does an earlier store until the new one is complete. After an error nothing of the new one is left.
    """
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=folder))
    try:
        with errors_naming(folder, *(unfinished / name for name in (*DATA_FILES, INFO))):
            yield unfinished
        RollStore.open(unfinished)
        _move_into_place(unfinished, folder)
    finally:
        _remove(unfinished)
        with contextlib.suppress(OSError):  # not empty
            folder.rmdir()


def has_unfinished(folder: Path) -> bool:
    """Whether another run was interrupted in `folder`, or is going on."""
    return any(folder.glob(f"{_UNFINISHED}*"))


def finish_interrupted(folder: Path) -> None:
    """Put right what a run that was killed has left in `folder`: a complete store moves into place, others go.

    For the holder of the lock on `folder` alone.
    """
    for unfinished in sorted(folder.glob(f"{_UNFINISHED}*")):
        if (unfinished / INFO).is_file():
            _move_into_place(unfinished, folder)
        _remove(unfinished)


def _move_into_place(complete: Path, folder: Path) -> None:
    """Replace file by file. Without store.json `folder` is no store; the new one comes last and ends the move.

    A move that is interrupted goes on when it is begun again, because store.json is still in `complete`.
    """
    (folder / INFO).unlink(missing_ok=True)
    for name in (*DATA_FILES, INFO):
        if (complete / name).exists():
            (complete / name).replace(folder / name)


def _remove(unfinished: Path) -> None:
    for path in unfinished.glob("*"):
        if path.name in (*DATA_FILES, INFO) or path.name.endswith(".partial"):
            path.unlink()
    with contextlib.suppress(OSError):  # somebody else's file is in it, or it is gone
        unfinished.rmdir()
