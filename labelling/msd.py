"""HDF5 files of the Million Song Dataset -> artist, title and tags of each track.

A file holds one song, or many: an aggregate has the tags of all its songs in one array, a summary has none.
"""

import hashlib
import json
import math
import os
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, NamedTuple

import h5py
from tqdm import tqdm

from common.errors import UserError
from common.files import HASH_DIGITS, written_atomically

# Part of a cache's name: count it up where the same files are read to other tracks than before.
_READER = 1
_ROWS = 4096  # songs that are in memory at a time
_TRACK_ID = re.compile(r"TR[A-Z0-9]{16}")
# What h5py raises for files that are cut off, damaged, or of somebody else's making.
_UNREADABLE = (OSError, LookupError, ValueError, TypeError, RuntimeError, ArithmeticError, MemoryError)
_LONGEST_REASON = 200  # characters

Tags = tuple[tuple[str, float], ...]


class Track(NamedTuple):
    """A track of the Million Song Dataset. Its tags are those of the artist, in the order of the file.

    `track_id` is "" where neither file nor file name tells it. `mbtags`: tags of MusicBrainz and their votes, 1 where
    there is no positive count. `terms`: terms of the Echo Nest and their weights, 0 to 1; 1 where there are no weights.
    """

    track_id: str
    artist: str
    title: str
    mbtags: Tags
    terms: Tags


class Problem(NamedTuple):
    """Something that could not be read, and why."""

    path: str
    reason: str


class _H5File(NamedTuple):
    """`name` is the path below the folder that is read, with forward slashes; "" for the one file that is read."""

    name: str
    n_bytes: int
    mtime_ns: int


def iter_tracks(
    path: Path, problems: list[Problem], *, cache: Path | None = None, progress: bool = False
) -> Iterator[Track]:
    """The tracks of one HDF5 file, or of all .h5 files below a folder, in the order of their paths.

    Files may be single songs, aggregates or summaries; a few thousand songs are in memory at a time. A file that cannot
    be read is skipped and added to `problems`; where one breaks off, the songs before are kept. `cache` is a folder:
    what the files below `path` tell is kept there, and read instead of them until one changes its size or time.

    Raises `UserError` where `path` does not exist, or is a folder without a .h5 file.
    """
    files = _find_files(path)
    is_folder = path.is_dir()
    items = _read_cached(path, files, cache) if cache and is_folder else _read_all(path, files)
    total = len(files) if is_folder else None  # of songs, if each has a file
    return _without_problems(path, tqdm(items, path.name, total, unit=" songs", disable=not progress), problems)


def _find_files(path: Path) -> list[_H5File]:
    if path.is_file():
        return [_h5_file(path, "")]
    if not path.is_dir():
        raise UserError(f"{path}: no such file or folder; name HDF5 files of the Million Song Dataset")
    names = [
        Path(folder, name).relative_to(path).as_posix()
        for folder, _, names in os.walk(path) for name in names if name.lower().endswith(".h5")
    ]  # fmt: skip
    if not names:
        raise UserError(f"{path}: no file there ends in .h5; name the folder of the Million Song Dataset's HDF5 files")
    return [_h5_file(path, name) for name in sorted(names)]


def _h5_file(root: Path, name: str) -> _H5File:
    try:
        stat = (root / name).stat()
    except OSError:  # a link to nowhere: told as a problem when it is opened
        return _H5File(name, 0, 0)
    return _H5File(name, stat.st_size, stat.st_mtime_ns)


def _without_problems(root: Path, items: Iterator[Track | Problem], problems: list[Problem]) -> Iterator[Track]:
    for item in items:
        if isinstance(item, Track):
            yield item
        else:
            problems.append(Problem(str(root / item.path), item.reason))


def _read_all(root: Path, files: Sequence[_H5File]) -> Iterator[Track | Problem]:
    """Tracks and problems as they come, the paths of problems below `root`."""
    for file in files:
        n_songs = 0
        try:
            with h5py.File(root / file.name, "r") as h5:
                for track in _tracks(h5, (root / file.name).stem):
                    yield track
                    n_songs += 1
        except _UNREADABLE as error:
            yield Problem(file.name, (f"after {n_songs} songs: " if n_songs else "") + _reason(error))


def _reason(error: Exception) -> str:
    """One line without the file's name, which h5py tells where the system refuses it."""
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    told = error.args[0] if isinstance(error, KeyError) else error  # whose text has quotes around it
    return " ".join(str(told).split())[:_LONGEST_REASON] or type(error).__name__


def _tracks(h5: h5py.File, stem: str) -> Iterator[Track]:
    songs = _dataset(h5, "metadata/songs")
    if songs is None or songs.dtype.names is None:
        raise ValueError("no table metadata/songs: not of the Million Song Dataset")
    n_songs = len(songs)
    if not n_songs:
        raise ValueError("no song in metadata/songs")
    terms = _TagArray(h5, n_songs, "metadata", "artist_terms", "artist_terms_weight", _weight)
    mbtags = _TagArray(h5, n_songs, "musicbrainz", "artist_mbtags", "artist_mbtags_count", _votes)
    analysis = _dataset(h5, "analysis/songs")
    if analysis is not None and len(analysis) != n_songs:
        raise ValueError("metadata/songs and analysis/songs differ in length")
    if analysis is not None and "track_id" not in (analysis.dtype.names or ()):
        analysis = None
    stem = stem if n_songs == 1 and _TRACK_ID.fullmatch(stem) else ""
    for start in range(0, n_songs, _ROWS):
        n_rows = min(_ROWS, n_songs - start)
        artists, titles, *index = _columns(songs, ["artist_name", "title", *terms.columns], start, n_rows + 1)
        ids = _columns(analysis, ["track_id"], start, n_rows)[0] if analysis is not None else [b""] * n_rows
        all_terms = terms.of_songs(n_rows, *index)
        all_mbtags = mbtags.of_songs(n_rows, *_columns(mbtags.songs, mbtags.columns, start, n_rows + 1))
        # One row more than songs was read of some columns, to see where the last song's tags end.
        names = zip(ids, artists[:n_rows], titles[:n_rows], all_mbtags, all_terms, strict=True)
        for track_id, artist, title, *tags in names:
            yield Track(_text(track_id) or stem, _text(artist), _text(title), *tags)


class _TagArray:
    """Tags of the songs of a file, one song's after the other's, and the number that belongs to each tag.

    Song i has the rows index[i]:index[i + 1], the last song those to the end. The index is a column of the table of
    songs in the group of the array, and in no other group.
    """

    def __init__(
        self, h5: h5py.File, n_songs: int, group: str, tags: str, numbers: str, value: Callable[[float], float]
    ) -> None:
        self._name = f"{group}/{tags}"
        self._tags = _dataset(h5, self._name)
        self._numbers = None
        self._value = value
        # One song has all of them, and a summary has none: neither needs an index.
        indexed = self._tags is not None and n_songs > 1
        self.columns = [f"idx_{tags}"] if indexed else []
        self.songs = _dataset(h5, f"{group}/songs") if indexed else None
        if self._tags is not None and len(self._tags):
            self._numbers = _dataset(h5, f"{group}/{numbers}")
            if self._numbers is not None and len(self._numbers) not in (0, len(self._tags)):
                raise ValueError(f"{group}/{numbers} and {tags} differ in length")

    def of_songs(self, n_songs: int, index: Sequence[int] | None = None) -> list[Tags]:
        """The tags of the next songs; `index` has where those of each begin, and of the one that follows, if any."""
        if self._tags is None:
            return [()] * n_songs
        length = len(self._tags)
        bounds = [0] if index is None else list(index)
        if len(bounds) == n_songs:
            bounds.append(length)
        if len(bounds) != n_songs + 1 or bounds[0] < 0 or bounds[-1] > length or bounds != sorted(bounds):
            raise ValueError(f"the index of {self._name} does not fit it")
        first, end = bounds[0], bounds[-1]
        tags = [_text(tag) for tag in self._tags[first:end].tolist()] if first < end else []
        numbers = self._numbers[first:end].tolist() if self._numbers is not None else []
        values = [self._value(float(number)) for number in numbers] or [1.0] * len(tags)
        pairs = list(zip(tags, values, strict=True))
        return [tuple(pair for pair in pairs[a - first : b - first] if pair[0]) for a, b in pairwise(bounds)]


def _dataset(h5: h5py.File, name: str) -> h5py.Dataset | None:
    """None where the file has no such thing; an error where it has, but damaged."""
    if name not in h5:
        return None
    dataset = h5[name]
    if not isinstance(dataset, h5py.Dataset):
        raise ValueError(f"{name} is no table or array")
    return dataset


def _columns(table: h5py.Dataset | None, names: Sequence[str], start: int, n_rows: int) -> list[list]:
    """Columns of a table, as lists of bytes and numbers; the last rows may be fewer than asked for."""
    if not names:
        return []
    missing = [name for name in names if table is None or name not in (table.dtype.names or ())]
    if missing:
        raise ValueError(f"no column {' and '.join(missing)}")
    rows = table.fields(list(names))[start : start + n_rows]
    return [rows[name].tolist() for name in names]


def _text(value: bytes) -> str:
    if not isinstance(value, bytes):
        raise TypeError(f"a text was expected, not {type(value).__name__}")
    return value.decode("utf-8", errors="replace").rstrip("\0 ")


def _votes(count: float) -> float:
    return count if 0 < count < math.inf else 1.0


def _weight(weight: float) -> float:
    return min(weight, 1.0) if weight > 0 else 0.0  # not a number: 0


def _read_cached(root: Path, files: Sequence[_H5File], cache: Path) -> Iterator[Track | Problem]:
    """What `_read_all` gives, from the cache if it has that; else the cache is written once all is read."""
    state = json.dumps([_READER, files]).encode()
    kept = cache / f"msd-{hashlib.sha256(state).hexdigest()[:HASH_DIGITS]}.jsonl"
    try:
        with kept.open("rb") as file:
            if _is_whole(file):
                yield from _read_kept(file)
                return
    except FileNotFoundError:
        pass
    digest = hashlib.sha256()
    with written_atomically(kept) as file:
        for item in _read_all(root, files):
            line = _line(item._asdict())
            digest.update(line)
            file.write(line)
            yield item
        file.write(_line({"sha256": digest.hexdigest()}))


def _line(content: dict) -> bytes:
    # A file's name need not be Unicode.
    return json.dumps(content, ensure_ascii=False).encode("utf-8", errors="surrogatepass") + b"\n"


def _is_whole(file: BinaryIO) -> bool:
    """Whether the last line of a cache has the hash of all before it. The next line read is then the first."""
    digest, last = hashlib.sha256(), b""
    for line in file:
        digest.update(last)
        last = line
    file.seek(0)
    return last == _line({"sha256": digest.hexdigest()})


def _read_kept(file: BinaryIO) -> Iterator[Track | Problem]:
    for line in file:
        told = json.loads(line.decode("utf-8", errors="surrogatepass"))
        if "track_id" in told:
            mbtags, terms = (tuple((tag, number) for tag, number in told[kind]) for kind in ("mbtags", "terms"))
            yield Track(told["track_id"], told["artist"], told["title"], mbtags, terms)
        elif "reason" in told:
            yield Problem(told["path"], told["reason"])
