"""Write small HDF5 files in the layouts of the Million Song Dataset: of one song, aggregates, and summaries."""

from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np

from labelling.msd import Track

# Tables have more columns than are read, in alphabetical order.
METADATA = np.dtype([
    ("analyzer_version", "S32"), ("artist_familiarity", "f8"), ("artist_id", "S32"), ("artist_mbid", "S40"),
    ("artist_name", "S1024"), ("genre", "S1024"), ("idx_artist_terms", "i4"), ("idx_similar_artists", "i4"),
    ("release", "S1024"), ("song_id", "S32"), ("title", "S1024"),
])  # fmt: skip
MUSICBRAINZ = np.dtype([("idx_artist_mbtags", "i4"), ("year", "i4")])
ANALYSIS = np.dtype([("idx_bars_start", "i4"), ("key", "i4"), ("tempo", "f8"), ("track_id", "S32")])


def write_aggregate(path: Path, *tracks: Track) -> Path:
    """Write a file with these songs and their tags; returns `path`."""
    write_summary(path, *tracks)
    with h5py.File(path, "r+") as file:
        _write_tags(file, "metadata", "artist_terms", "weight", "f8", [track.terms for track in tracks])
        _write(file, "metadata/artist_terms_freq", np.full(len(file["metadata/artist_terms"]), 0.25))
        _write_tags(file, "musicbrainz", "artist_mbtags", "count", "i4", [track.mbtags for track in tracks])
    return path


def write_summary(path: Path, *tracks: Track) -> Path:
    """Write a file with these songs without their tags; returns `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata, musicbrainz, analysis = (np.zeros(len(tracks), kind) for kind in (METADATA, MUSICBRAINZ, ANALYSIS))
    metadata["artist_name"] = [track.artist.encode() for track in tracks]
    metadata["title"] = [track.title.encode() for track in tracks]
    analysis["track_id"] = [track.track_id.encode() for track in tracks]
    with h5py.File(path, "w") as file:
        _write(file, "metadata/songs", metadata)
        _write(file, "musicbrainz/songs", musicbrainz)
        _write(file, "analysis/songs", analysis)
    return path


def _write_tags(file: h5py.File, group: str, name: str, number: str, kind: str, tags: Sequence) -> None:
    """Write the tags of all songs, their numbers, and in the table of songs the first row of each song's tags."""
    songs = file[f"{group}/songs"][:]
    songs[f"idx_{name}"] = np.cumsum([0, *map(len, tags)])[: len(songs)]
    file[f"{group}/songs"][:] = songs
    pairs = [pair for own in tags for pair in own]
    _write(file, f"{group}/{name}", np.array([tag.encode() for tag, _ in pairs], "S256"))
    _write(file, f"{group}/{name}_{number}", np.array([value for _, value in pairs], kind))


def _write(file: h5py.File, name: str, content: np.ndarray) -> None:
    file.create_dataset(name, data=content, maxshape=(None,), chunks=(max(1, min(len(content), 64)),), compression=1)
