"""Read the files of a roll store, in one process or in several that each read a shard and one that merges them.

A shard is a run of consecutive files, about equal in bytes to the others. It holds what the files alone decide: the
arrays of its songs, and the length and content hash of each song or the reason why a file is rejected. What depends on
all files (splits, copies, names without a training song, offsets) is left to the merge.
"""

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from common.data_folder import DataFolder
from common.errors import UserError
from common.files import write_text
from common.processes import end_if_imported_by_worker
from data.reading import read_songs
from data.store import ARRAYS
from data.store_inputs import StoreInputs, StoreSettings
from data.store_writer import StoreWriter
from data.window_lengths import WINDOW_LENGTHS

_RESULTS = "results.json"
SHARD = DataFolder(
    name="shard",
    program="prepare_data.py --shard",
    format_version=1,
    info_file="shard.json",
    files=(*(f"{name}.npy" for name in ARRAYS), _RESULTS),
    log="",
    hashed_facts=("inputs_hash", "shard", "shards"),
)


class StoredSong(NamedTuple):
    """A song in the arrays, where it begins after the one before; for `content_hash` see `read_songs`."""

    content_hash: str
    n_frames: int
    n_notes: int


def read_files(
    writer: StoreWriter, files: Sequence[Path], settings: StoreSettings, workers: int | None, progress: bool
) -> list[StoredSong | str]:
    """Read files into the arrays of a store. Returns for each its song, or the reason why it is rejected."""
    results = read_songs(
        files,
        min_frames=WINDOW_LENGTHS[0],
        max_minutes=settings.max_minutes,
        frames_per_second=settings.frames_per_second,
        workers=workers,
    )
    stored: list[StoredSong | str] = []
    for result in tqdm(results, "reading", len(files), unit=" files", disable=not progress):
        if not isinstance(result, str):
            writer.append(result.song)
            result = StoredSong(result.content_hash, len(result.song.frames), len(result.song.pitch))
        stored.append(result)
    return stored


def prepare_shard(
    inputs: StoreInputs,
    store: Path,
    number: int,
    count: int,
    *,
    workers: int | None = None,
    rebuild: bool = False,
    progress: bool = True,
) -> tuple[Path, list[StoredSong | str], bool]:
    """Read shard `number` (from 1) of `count` of the files of the future `store` into a folder beside it.

    Returns the shard's folder, the song of each file or the reason why it is rejected, and whether the shard was made
    now: a whole one of the same inputs is kept, unless `rebuild`. Raises `UserError` where the folder holds something
    else, or another process is making the same shard.
    """
    end_if_imported_by_worker()
    folder = _folder_of(store, number, count)
    SHARD.require_place(folder)
    with SHARD.locked(folder):
        if not rebuild:
            with contextlib.suppress(UserError):
                _require_shard(folder, inputs, number, count)
                return folder, _results_of(folder), False
        with SHARD.being_written(folder) as unfinished:
            writer = StoreWriter(unfinished)
            try:
                files = [inputs.files[place] for place in np.flatnonzero(_shard_of_file(inputs.sizes, count) == number)]
                results = read_files(writer, files, inputs.settings, workers, progress)
                writer.finish_arrays()
            finally:
                writer.abandon()
            write_text(unfinished / _RESULTS, json.dumps({"files": results}), replace=True)
            SHARD.write_info(unfinished, {"inputs_hash": inputs.hash, "shard": number, "shards": count})
        return folder, results, True


def merge_shards(writer: StoreWriter, inputs: StoreInputs, store: Path, count: int) -> list[StoredSong | str]:
    """Copy the arrays of all `count` shards of `store`. Returns what `read_files` returns for all files.

    The arrays are copied in pieces, so that memory does not grow with the corpus. Raises `UserError` where a shard is
    missing, damaged, being made, or of other inputs.
    """
    folders = {number: _folder_of(store, number, count) for number in range(1, count + 1)}
    missing = [number for number, folder in folders.items() if not (folder / SHARD.info_file).exists()]
    if missing:
        shown = ", ".join(map(str, missing[:10])) + (", ..." if len(missing) > 10 else "")
        remedy = f"make {'it' if len(missing) == 1 else 'each'} with --shard {missing[0]}/{count}"
        raise UserError(f"{folders[1].parent}: of {count} shards, these are missing: {shown}; {remedy}")
    results: list[StoredSong | str] = []
    with contextlib.ExitStack() as locks:
        for number, folder in folders.items():
            locks.enter_context(SHARD.locked(folder))
            _require_shard(folder, inputs, number, count)
        for folder in folders.values():
            writer.append_arrays(folder)
            results += _results_of(folder)
    return results


def _folder_of(store: Path, number: int, count: int) -> Path:
    place = store.resolve()  # "." has no name
    return place.with_name(f"{place.name}_shards") / f"{number}_of_{count}"


def _shard_of_file(sizes: Sequence[int], count: int) -> np.ndarray:
    """Return the shard of each file, 1 to `count`, int64 (n_files,), ascending; shards have about equal bytes."""
    ends = np.cumsum(sizes, dtype=np.int64)
    return 1 + np.minimum((ends - sizes) * count // max(ends[-1], 1), count - 1)


def _require_shard(folder: Path, inputs: StoreInputs, number: int, count: int) -> None:
    """Raise `UserError` where `folder` is not this shard of these inputs, with all its bytes intact."""
    info = SHARD.read_info(folder)
    if (info["shard"], info["shards"]) != (number, count):
        found, remedy = f"shard {info['shard']} of {info['shards']}", f"make it with --shard {number}/{count}"
        raise UserError(f"{folder}: holds {found}; remove it, and {remedy}")
    if info["inputs_hash"] != inputs.hash:
        differing = "other labels, options or files, by size and time of change"
        raise UserError(f"{folder}: was made from {differing}; make it again with --shard {number}/{count}")
    SHARD.verify(folder, info)


def _results_of(folder: Path) -> list[StoredSong | str]:
    results = json.loads((folder / _RESULTS).read_bytes())
    return [each if isinstance(each, str) else StoredSong(*each) for each in results["files"]]
