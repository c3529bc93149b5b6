"""Read artist, title and tags of tracks from HDF5 files of the Million Song Dataset.

A file holds one song or many. An aggregate has the tags of all its songs in one array; a summary file has no tags.
Nothing outside the file is read, and datasets that declare far more than it can hold are refused.
"""

import hashlib
import json
import math
import os
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import h5py
from tqdm import tqdm

from common.errors import UserError, reason_of
from common.files import HASH_DIGITS, files_below, hash_of_file, require_regular, write_text, written_atomically

# Part of a cache's name: increase it if the same files are read to other tracks, or the cache's format changes.
_READER = 3
_ROWS = 4096  # songs in memory at a time
_MAX_BYTES = 1 << 40
_MAX_VOTES = 1e9
_MAX_RATIO = 200  # bytes that a dataset declares, by those of the file; with empty texts compressed, real files have 30
_TRACK_ID = re.compile(r"TR[A-Z0-9]{16}")

Tags = Sequence[tuple[str, float]]  # with votes, weights or scores


class Track(NamedTuple):
    """A track of a catalogue, with the tags of its artist; text that the catalogue does not give is "".

    `mbtags`: MusicBrainz tags with their votes; a tag with an impossible count has 1 vote. `terms`: Echo Nest terms,
    with weights from 0 to 1; 1 in files without weights.
    """

    track_id: str
    artist: str
    title: str
    mbtags: Tags = ()
    terms: Tags = ()


class Problem(NamedTuple):
    """The path (and line) of something that could not be read, and the reason."""

    path: str
    reason: str


def iter_tracks(
    path: Path, problems: list[Problem], *, cache: Path | None = None, progress: bool = False
) -> Iterator[Track]:
    """Yield the tracks of an HDF5 file, or of all .h5 files below a folder in the order of their paths.

    Unreadable files are skipped and added to `problems`; songs before the damage are kept. The tracks of a folder are
    stored in the folder `cache` and read from there until the size or time of a file changes.

    Raises `UserError` if `path` does not exist, or is a folder without .h5 files.
    """
    if not path.exists():
        raise UserError(f"{path}: no such file or folder; name HDF5 files of the Million Song Dataset")
    is_folder = path.is_dir()
    names = files_below(path, ".h5") if is_folder else [""]
    if not names:
        raise UserError(f"{path}: no file there ends in .h5; name the folder of the Million Song Dataset's HDF5 files")
    items = _read_cached(path, names, cache) if cache and is_folder else _read_all(path, names)
    # The total is right if each file holds one song.
    for item in tqdm(items, path.name, len(names) if is_folder else None, unit=" songs", disable=not progress):
        if isinstance(item, Track):
            yield item
        else:
            problems.append(Problem(str(path / item.path), item.reason))


def _read_all(root: Path, names: Sequence[str]) -> Iterator[Track | Problem]:
    """Yield tracks and problems; the paths of problems are relative to `root`."""
    for name in names:
        n_songs = 0
        try:
            require_regular(root / name, _MAX_BYTES)
            with h5py.File(root / name, "r") as h5:
                for track in _tracks(h5, (root / name).stem):
                    yield track
                    n_songs += 1
        except Exception as error:  # whatever h5py raises for damage
            # The text of system errors has the file's name.
            reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else reason_of(error)
            yield Problem(name, (f"after {n_songs} songs: " if n_songs else "") + reason)


def _tracks(h5: h5py.File, stem: str) -> Iterator[Track]:
    songs, analysis = _dataset(h5, "metadata/songs"), _dataset(h5, "analysis/songs")
    if songs is None or not songs.dtype.names or not len(songs):
        raise ValueError("no songs in metadata/songs: not a file of the Million Song Dataset")
    if analysis is not None and len(analysis) != len(songs):
        raise ValueError("metadata/songs and analysis/songs differ in length")
    has_ids = analysis is not None and "track_id" in (analysis.dtype.names or ())
    default_id = stem if len(songs) == 1 and _TRACK_ID.fullmatch(stem) else ""
    mbtags = _TagArray(h5, len(songs), "musicbrainz", "artist_mbtags", "artist_mbtags_count", _votes)
    terms = _TagArray(h5, len(songs), "metadata", "artist_terms", "artist_terms_weight", _weight)
    for start in range(0, len(songs), _ROWS):
        end = min(start + _ROWS, len(songs))
        ids = analysis.fields("track_id")[start:end].tolist() if has_ids else [b""] * (end - start)
        names = songs.fields(["artist_name", "title"])[start:end].tolist()
        rows = zip(ids, names, mbtags.of_songs(start, end), terms.of_songs(start, end), strict=True)
        for track_id, (artist, title), *tags in rows:
            yield Track(_text(track_id) or default_id, _text(artist), _text(title), *tags)
    if faults := [each.fault for each in (mbtags, terms) if each.fault]:
        raise ValueError("; ".join(faults))
    if mbtags.absent and terms.absent:
        raise ValueError("no tags, as in all summary files; name files of single songs, or an aggregate")


class _TagArray:
    """An array with the tags of one song after the other, and the array of the tags' numbers (votes or weights).

    A column of the table of songs in the same group has the first row of each song's tags. Where that does not fit the
    array, `fault` says so, and songs from there on have no tags.
    """

    def __init__(
        self, h5: h5py.File, n_songs: int, group: str, tags: str, numbers: str, value: Callable[[float], float]
    ) -> None:
        self._tags, self._numbers = _dataset(h5, f"{group}/{tags}"), _dataset(h5, f"{group}/{numbers}")
        self.absent, self._value, self.fault = self._tags is None, value, ""
        length = 0 if self.absent else len(self._tags)
        if self._numbers is not None and len(self._numbers) not in (0, length):
            raise ValueError(f"{group}/{numbers} and {tags} differ in length")
        first = [0] * n_songs
        if not self.absent and n_songs > 1:  # the tags of one song need no index
            songs = _dataset(h5, f"{group}/songs")
            first = [] if songs is None else songs.fields(f"idx_{tags}")[:].tolist()
        self._bounds = [*first, length]
        sound = [0 <= start <= end <= length for start, end in pairwise(self._bounds)]
        if len(first) != n_songs or not all(sound):
            # The last song before a wrong row may end anywhere.
            whole = max(0, sound.index(False) - 1) if len(first) == n_songs else 0
            end = self._bounds[whole] if whole else 0
            self._bounds[whole:] = [end] * (n_songs + 1 - whole)
            self.fault = f"the index of {group}/{tags} does not fit it: no such tags of songs after the first {whole}"

    def of_songs(self, start: int, end: int) -> list[Tags]:
        """Return the tags of the songs from `start` to before `end`."""
        bounds = self._bounds[start : end + 1]
        rows = slice(bounds[0], bounds[-1])
        if rows.start == rows.stop:
            return [()] * (end - start)
        tags = [_text(tag) for tag in self._tags[rows].tolist()]
        numbers = [] if self._numbers is None else self._numbers[rows].tolist()
        values = [self._value(float(number)) for number in numbers] or [1.0] * len(tags)
        pairs = list(zip(tags, values, strict=True))
        return [tuple(pair for pair in pairs[a - rows.start : b - rows.start] if pair[0]) for a, b in pairwise(bounds)]


def _dataset(h5: h5py.File, name: str) -> h5py.Dataset | None:
    """None if the file has no such dataset; raises an error for a damaged one, or one that is not all in the file."""
    item = h5
    for part in name.encode().split(b"/"):
        if not item.id.links.exists(part):
            return None
        if item.id.links.get_info(part).type != h5py.h5l.TYPE_HARD:
            raise ValueError(f"{name} is a link to another place")
        item = item[part]
    if item.is_virtual or item.external:
        raise ValueError(f"the content of {name} is in another file")
    file_bytes = h5.id.get_filesize()
    row_bytes = file_bytes if item.dtype.hasobject else item.dtype.itemsize  # texts of any length
    if max(item.size or 0, math.prod(item.chunks or ())) * row_bytes > _MAX_RATIO * file_bytes:
        raise ValueError(f"{name} declares more than the file can hold")
    return item


def _text(value: bytes) -> str:
    if not isinstance(value, bytes):
        raise TypeError(f"expected text, not {type(value).__name__}")
    return value.decode("utf-8", errors="replace").rstrip("\0 ")


def _votes(count: float) -> float:
    return count if 0 < count <= _MAX_VOTES else 1.0


def _weight(weight: float) -> float:
    return min(weight, 1.0) if weight > 0 else 0.0  # NaN becomes 0


def _read_cached(root: Path, names: Sequence[str], cache: Path) -> Iterator[Track | Problem]:
    """Yield what `_read_all` yields, from the cache if it is there and whole; otherwise write it."""
    stats = [path.stat() if path.exists() else path.lstat() for path in (root / name for name in names)]
    state = [_READER, names, [(stat.st_size, stat.st_mtime_ns) for stat in stats]]
    kept = cache / f"msd-{hashlib.sha256(json.dumps(state).encode()).hexdigest()[:HASH_DIGITS]}.jsonl"
    checksum = kept.with_suffix(".sha256")
    if kept.exists() and checksum.exists() and checksum.read_bytes() == hash_of_file(kept).encode():
        with kept.open("rb") as lines:
            yield from map(_from_json, lines)
        return
    with written_atomically(kept, replace=True) as file:
        for item in _read_all(root, names):
            file.write(json.dumps(item).encode() + b"\n")
            yield item
    write_text(checksum, hash_of_file(kept), replace=True)


def _from_json(line: bytes) -> Track | Problem:
    row = json.loads(line)
    if len(row) == len(Problem._fields):
        return Problem(*row)
    return Track(*row[:3], *(tuple(map(tuple, tags)) for tags in row[3:]))
